package pushkit

import "github.com/pushwake/relay/push"

// revokeBody is the JSON that takes a notification back (Push Kit REST v3,
// revoking messages). What the user clicked, or swept away, is gone already.
type revokeBody struct {
	NotifyID int32    `json:"notifyId"`
	Token    []string `json:"token"`
}

func revoke(m push.Message, token string) (Request, error) {
	return pack(pushTypeAlert, revokeBody{notifyID(m.Payload.Call), []string{token}})
}
