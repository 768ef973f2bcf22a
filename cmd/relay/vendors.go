package main

import (
	"context"
	"errors"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/store"
)

// apiVendors is an api.Vendors by the packages that speak to the vendors.
type apiVendors struct{ dispatcher *push.Dispatcher }

func (apiVendors) Explain(channel call.Channel, code string, status int) call.Explanation {
	a := push.Answer{Code: code, Status: status}
	if channel.Vendor() == call.APNs {
		return apns.Explain(a)
	}
	return pushkit.Explain(a)
}

func (v apiVendors) Preview(ctx context.Context, w store.Wake) (api.Preview, error) {
	r, err := v.dispatcher.Preview(ctx, w)
	var unbuilt *push.UnbuiltError
	if errors.As(err, &unbuilt) {
		err = &api.UnbuiltError{Err: unbuilt.Err}
	}
	return api.Preview{Method: r.Method, URL: r.URL, Header: r.Header, Body: r.Body}, err
}
