package main

import (
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/pushkit"
)

// apiVendors joins the packages that speak to vendors for the API: it is an
// api.Vendors.
type apiVendors struct{}

func (apiVendors) Explain(channel call.Channel, code string, status int) call.Explanation {
	a := push.Answer{Code: code, Status: status}
	if channel.Vendor() == call.APNs {
		return apns.Explain(a)
	}
	return pushkit.Explain(a)
}
