package apns

import (
	"net/http"
	"slices"

	"github.com/sideshow/apns2"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Reason is one row of the table of what Apple may answer.
type Reason struct {
	Status  int    // HTTP
	Name    string // as in the body's "reason", and in push.Answer.Code
	Meaning string
	Advice  string // what an operator should do
	Answer  push.Answer

	retire bool // the connection takes no more requests
}

// Reasons lists every known reason in the order of their statuses (Apple,
// Handling notification responses from APNs). Only Outcome, Reason, Retry,
// Blame, Token, Status and Code of each Answer are set.
func Reasons() []Reason { return slices.Clone(reasons) }

// Reasons that apns2 0.25.0 does not name.
const (
	notSent                 = "NotSent" // the relay's own, where Apple was not asked
	reasonUnrelatedKeyID    = "UnrelatedKeyIdInToken"
	reasonBadEnvironmentKey = "BadEnvironmentKeyIdInToken" // the documents' spelling
	reasonBadEnvironment    = "BadEnvironmentKeyInToken"   // the spelling seen in the field
)

// The verdicts that the rows share. Apple asks to wait 15 minutes after its own
// failures, which no ring lasts: one more attempt is made on another
// connection, and none after it.
var (
	accepted       = push.Answer{Outcome: push.Accepted, Retry: push.RetryNever, Blame: push.BlameNone, Token: push.TokenKeep}
	refusedUs      = push.Answer{Outcome: push.Refused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: push.BlameUs, Token: push.TokenKeep}
	badCredential  = push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: push.BlameUs, Token: push.TokenKeep}
	staleToken     = push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryOnce, Blame: push.BlameUs, Token: push.TokenKeep}
	tokenDead      = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenDead, Retry: push.RetryNever, Blame: push.BlameDevice, Token: push.TokenDead}
	tokenMisplaced = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenSuspended, Retry: push.RetryNever, Blame: push.BlameDevice, Token: push.TokenSuspended}
	topicMisplaced = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenSuspended, Retry: push.RetryNever, Blame: push.BlameUs, Token: push.TokenSuspended}
	throttled      = push.Answer{Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryNever, Blame: push.BlameVendor, Token: push.TokenKeep}
	throttledOnce  = push.Answer{Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryOnce, Blame: push.BlameUs, Token: push.TokenKeep}
	unavailable    = push.Answer{Outcome: push.Unavailable, Reason: call.ReasonVendorUnavailable, Retry: push.RetryOnce, Blame: push.BlameVendor, Token: push.TokenKeep}
	unreachable    = push.Answer{Outcome: push.Unavailable, Reason: call.ReasonVendorUnavailable, Retry: push.RetryLater, Blame: push.BlameVendor, Token: push.TokenKeep} // surely not sent
)

const (
	adviceFault  = "This is a fault of the relay. Report it with the attempt's id."
	adviceVendor = "It is tried once more on another connection. If it lasts, see Apple's system status page."
)

var (
	reasons  = table()
	byReason = func() map[string]Reason {
		m := make(map[string]Reason, len(reasons))
		for _, r := range reasons {
			m[r.Name] = r
		}
		return m
	}()
)

func table() []Reason {
	rows := []Reason{
		{0, notSent, "The push could not be built; the attempt's message says why.", "Give the device or the credential a bundle_id, and let the app register the token in the hexadecimal form that Apple's sample code shows.", refusedUs, false},
		{400, apns2.ReasonBadCollapseID, "The collapse id is longer than 64 bytes.", adviceFault, refusedUs, false},
		{400, apns2.ReasonBadDeviceToken, "The token is malformed, or of the other environment.", "Compare the device's environment with its build: Xcode builds are sandbox; TestFlight and App Store builds are production. The app must register again with the right environment.", tokenMisplaced, false},
		{400, apns2.ReasonBadExpirationDate, "The expiration is wrong.", adviceFault, refusedUs, false},
		{400, apns2.ReasonBadMessageID, "The message id is not a UUID.", adviceFault, refusedUs, false},
		{400, apns2.ReasonBadPriority, "The priority is wrong.", adviceFault, refusedUs, false},
		{400, apns2.ReasonBadTopic, "The topic is wrong.", "Check the bundle_id that the device registered, or the credential's.", refusedUs, false},
		{400, apns2.ReasonDeviceTokenNotForTopic, "The token belongs to another topic: another app, or an alert token registered as a VoIP token.", "Check bundle_id, and that the app registers PushKit's token as apns_voip and the ordinary one as apns_alert. The token is set aside until the app registers again.", topicMisplaced, false},
		{400, apns2.ReasonDuplicateHeaders, "A header was sent twice.", adviceFault, refusedUs, false},
		{400, apns2.ReasonIdleTimeout, "The connection had been idle for too long.", "It is tried once more on another connection.", unavailable, true},
		{400, apns2.ReasonInvalidPushType, "The push type is wrong.", adviceFault, refusedUs, false},
		{400, apns2.ReasonMissingDeviceToken, "The request names no token.", adviceFault, refusedUs, false},
		{400, apns2.ReasonMissingTopic, "The request names no topic.", adviceFault, refusedUs, false},
		{400, apns2.ReasonPayloadEmpty, "The body is empty.", adviceFault, refusedUs, false},
		{400, apns2.ReasonTopicDisallowed, "The key may not push to this topic.", "Check bundle_id, and in the developer account which topics the key is for. VoIP needs the app's push entitlement.", badCredential, false},
		{403, apns2.ReasonBadCertificate, "The certificate is wrong.", "The relay uses keys, not certificates. Report it with the attempt's id.", badCredential, true},
		{403, apns2.ReasonBadCertificateEnvironment, "The certificate is of the other environment.", "The relay uses keys, not certificates. Report it with the attempt's id.", badCredential, true},
		{403, reasonBadEnvironmentKey, "The key is restricted to the other environment.", "Make a key for this environment in the developer account, or check the device's environment.", badCredential, false},
		{403, reasonBadEnvironment, "The key is restricted to the other environment.", "Make a key for this environment in the developer account, or check the device's environment.", badCredential, false},
		{403, apns2.ReasonExpiredProviderToken, "The provider token is older than an hour, or from a time to come.", "If it returns after the renewed token, the relay host's clock is wrong.", staleToken, false},
		{403, apns2.ReasonForbidden, "The action is not allowed.", "Check in the developer account that the key was not revoked and that the app has the push entitlement.", badCredential, false},
		{403, apns2.ReasonInvalidProviderToken, "The provider token is wrong.", "Check team id, key id and key file: `relay app credential` stores them anew. A revoked key is refused like this too.", badCredential, true},
		{403, apns2.ReasonMissingProviderToken, "The request has no provider token.", adviceFault, badCredential, false},
		{403, reasonUnrelatedKeyID, "The key differs from the one first used on the connection.", "It is tried once more on a new connection. If it lasts, report it.", staleToken, true},
		{404, apns2.ReasonBadPath, "No such path.", adviceFault, refusedUs, false},
		{405, apns2.ReasonMethodNotAllowed, "Not a POST.", adviceFault, refusedUs, false},
		{410, apns2.ReasonExpiredToken, "The token has expired.", "The app must register again. A token registered after the time that Apple tells stays in use.", tokenDead, false},
		{410, apns2.ReasonUnregistered, "The app was removed from the device, or the token is no longer active for the topic.", "Nothing to do: the app registers again if it is installed again. A token registered after the time that Apple tells stays in use.", tokenDead, false},
		{413, apns2.ReasonPayloadTooLarge, "The payload is too large.", adviceFault, refusedUs, false},
		{429, apns2.ReasonTooManyProviderTokenUpdates, "The provider token changed too often on the connection.", "It is tried once more on a new connection. If it lasts, look for other servers that sign with this key.", throttledOnce, true},
		{429, apns2.ReasonTooManyRequests, "Too many pushes to this one device.", "Call this device less often.", throttled, false},
		{500, apns2.ReasonInternalServerError, "Apple failed.", adviceVendor, unavailable, true},
		{503, apns2.ReasonServiceUnavailable, "Apple's service is unavailable.", adviceVendor, unavailable, true},
		{503, apns2.ReasonShutdown, "Apple's server is shutting down.", adviceVendor, unavailable, true},
	}
	for i := range rows {
		rows[i].Answer.Code, rows[i].Answer.Status = rows[i].Name, rows[i].Status
	}
	return rows
}

// Status is one row of the table of HTTP statuses, which decide only where an
// answer has no known reason.
type Status struct {
	Status  int // 0: no answer
	Meaning string
	Advice  string
	Answer  push.Answer

	retire bool
}

// Statuses lists the rules for answers without a known reason, in order. Others
// go by their class.
func Statuses() []Status { return slices.Clone(statuses) }

var statuses = []Status{
	{0, "No answer came in time.", "It is tried once more on another connection. If it lasts, check the relay's way to Apple: names, proxy, firewall (port 443 or 2197).", unavailable, true},
	{http.StatusOK, "Apple took the push. This is not yet a delivery.", "Nothing to do. Whether it reached the device, only the app's confirm tells.", accepted, false},
	{http.StatusForbidden, "The authorization was refused.", "Check team id, key id and key file.", badCredential, true},
	{http.StatusGone, "The token is no longer active.", "The app must register again.", tokenDead, false},
	{http.StatusTooManyRequests, "Apple limits the rate.", "Call this device less often.", throttled, false},
	{http.StatusInternalServerError, "Apple failed.", adviceVendor, unavailable, true},
	{http.StatusServiceUnavailable, "Apple's service is unavailable.", adviceVendor, unavailable, true},
}

func byStatus(status int) Status {
	for _, s := range statuses {
		if s.Status == status {
			return s
		}
	}
	switch {
	case status >= 500:
		return Status{status, "Apple, or a gateway on the way, failed.", adviceVendor, unavailable, true}
	case status >= 400:
		return Status{status, "The push was refused without a known reason.", "Look the status up in Apple's documents, and check any proxy on the way.", refusedUs, false}
	}
	return Status{status, "An answer that is not of APNs.", "Check the address of APNs, and any proxy on the way.", unavailable, true}
}

// Explain says in plain English what to do about an answer: by its reason, or
// by its HTTP status where it has none that is known.
func Explain(a push.Answer) string {
	if r, ok := byReason[a.Code]; ok {
		return r.Advice
	}
	return byStatus(a.Status).Advice
}
