package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/store"
)

// probeTimeout bounds each question to a vendor.
const probeTimeout = 5 * time.Second

// Tokens that no vendor can have issued. A push to one reaches nobody, and if
// the token is what the vendor refuses, everything else was right. That the
// vendors check the token last is an assumption; no document gives the order.
const (
	noPushKitToken = "doctor"
	noAPNsToken    = "00"
)

// vendorExam asks the vendors.
type vendorExam struct {
	*examination
	vendors vendors
	store   *store.Store
	pools   *apns.Pools
	http    *http.Client
	reached map[string]bool // the URLs that were tried, and whether they answered
}

func newVendorExam(v vendors, config apns.PoolsConfig, s *store.Store, e *examination) (*vendorExam, error) {
	pools, err := apns.NewPools(config)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: config.RootCAs}}
	return &vendorExam{
		examination: e, vendors: v, store: s, pools: pools, reached: map[string]bool{},
		http: &http.Client{Transport: transport, Timeout: probeTimeout},
	}, nil
}

func (x *vendorExam) close() {
	x.http.CloseIdleConnections()
	x.pools.Close()
}

// reach connects to a vendor once and compares its clock with this machine's.
func (x *vendorExam) reach(ctx context.Context, name, url string) bool {
	if reached, tried := x.reached[url]; tried {
		return reached
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	var resp *http.Response
	asked := time.Now()
	if err == nil {
		resp, err = x.http.Do(r)
	}
	if err != nil {
		x.reached[url] = false
		x.found(trouble, name, fmt.Sprintf("%s: %s", url, push.DescribeFailure(err)), "Check the address, name resolution, the proxy and the firewall (443; APNs also 2197).")
		return false
	}
	defer resp.Body.Close()
	took := time.Since(asked)
	x.reached[url] = true
	x.found(fine, name, fmt.Sprintf("%s answers, in %d ms with connecting", url, took.Milliseconds()), "")
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		x.clock("clock and "+name, time.Since(date)-took/2-time.Second/2) // Date is cut to seconds
	}
	return true
}

// credential tries one app's credential at the vendor.
func (x *vendorExam) credential(ctx context.Context, app string, vendor call.Vendor) {
	what := app + ", " + vendorName(vendor)
	c, err := x.store.Credential(ctx, app, vendor)
	switch {
	case errors.Is(err, store.ErrWrongMasterKey):
		x.found(trouble, what, "sealed with another master key", "Give RELAY_MASTER_KEY the old key too, behind a comma, or store the credential anew.")
		return
	case err != nil:
		x.found(trouble, what, err.Error(), "")
		return
	}
	if vendor == call.APNs {
		x.apns(ctx, what, app, c.Secret)
		return
	}
	client, err := pushkit.New(pushkit.Config{KeyFile: c.Secret, BaseURL: x.vendors.PushKitURL, Timeout: probeTimeout})
	if err != nil {
		x.found(trouble, what, err.Error(), "Store it anew with `relay app credential`.")
		return
	}
	x.found(fine, what, fmt.Sprintf("the key opens: project %s, key %s", c.About["project_id"], c.About["key_id"]), "")
	if user := c.About["callback_user"]; user != "" {
		x.found(fine, what, "receipts are signed for the user "+user, "")
	} else {
		x.found(worry, what, "receipts are not signed: they are shown, and nothing follows from them",
			"Set a user name and a secret for the receipts in AppGallery Connect, and give both to `relay app credential "+app+" push_kit FILE --callback-user NAME` (docs/push-kit.md).")
	}
	if x.reach(ctx, "Push Kit", x.vendors.PushKitURL) {
		x.judge(what, "push-type 10", client.Send(ctx, probe(call.PushKitVoIP, noPushKitToken, "", "")), pushkit.Explain)
	}
}

// apns tries each topic and environment that the app's devices have.
func (x *vendorExam) apns(ctx context.Context, what, app string, secret []byte) {
	client, err := apns.New(apns.Config{Credential: secret, Pools: x.pools, Timeout: probeTimeout})
	if err != nil {
		x.found(trouble, what, err.Error(), "Store it anew with `relay app credential`.")
		return
	}
	defer client.Close()
	key := client.Key()
	x.found(fine, what, fmt.Sprintf("the key opens: team %s, key %s", key.TeamID, key.KeyID), "")
	groups, err := x.store.APNsDevices(ctx, app)
	if err != nil {
		x.found(trouble, what, err.Error(), "")
		return
	}
	if len(groups) == 0 { // no device yet: try what a first one would need
		groups = []store.DeviceGroup{{Channel: call.APNsVoIP, Environment: apns.Production}}
	}
	for _, g := range groups {
		topic := g.BundleID
		if topic == "" {
			topic = key.BundleID
		}
		if topic == "" {
			x.found(trouble, what, fmt.Sprintf("%d devices of %s have no bundle id, nor has the credential", g.Devices, g.Environment), "Store the credential with --bundle-id, or let the app register its bundle_id.")
			continue
		}
		if g.Channel == call.APNsVoIP {
			topic += ".voip"
		}
		if x.reach(ctx, "APNs "+g.Environment, x.pools.URL(g.Environment)) {
			x.judge(what, fmt.Sprintf("%s, %s (devices: %d)", g.Environment, topic, g.Devices), client.Send(ctx, probe(g.Channel, noAPNsToken, g.BundleID, g.Environment)), apns.Explain)
		}
	}
}

func probe(channel call.Channel, token, bundleID, environment string) push.Message {
	now := time.Now()
	return push.Message{
		Attempt: uuid.New(), Channel: channel, Token: token, BundleID: bundleID, Environment: environment, RingLeft: 10 * time.Second,
		Payload: call.WakePayload{Media: call.Voice, SentAt: now, ExpiresAt: now.Add(10 * time.Second)},
	}
}

// judge reads the answer to a probe: a refused token is the good result.
func (x *vendorExam) judge(what, about string, a push.Answer, explain func(push.Answer) call.Explanation) {
	if a.Outcome == push.Accepted || a.Outcome == push.TokenRefused && a.Blame == call.BlameDevice {
		x.found(fine, what, about+": the vendor takes the credential", "")
		return
	}
	answer := strings.TrimSpace(fmt.Sprintf("%s %s", a.Code, a.Message))
	if a.Status != 0 {
		answer = fmt.Sprintf("HTTP %d %s", a.Status, answer)
	}
	x.found(trouble, what, about+": "+answer, explain(a).Advice.In(call.English))
}
