package main

import (
	"context"
	"errors"
	"fmt"

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

func (apiVendors) ExplainReceipt(_ call.Channel, result int64) call.Explanation {
	r := pushkit.ReceiptOf(result) // the only vendor that sends receipts
	return call.Explanation{Meaning: r.Meaning, Advice: r.Advice}
}

// apiCallbacks is an api.Callbacks by the credentials of the apps.
type apiCallbacks struct{ store *store.Store }

func (c apiCallbacks) CheckCallback(ctx context.Context, appID, header string) (signed bool, err error) {
	credential, err := c.store.Credential(ctx, appID, call.PushKit)
	if err != nil {
		return false, err
	}
	callback, err := pushkit.CallbackOf(credential.Secret)
	if err != nil || !callback.Set() {
		return false, err
	}
	if err := callback.Check(header, c.store.Now()); err != nil {
		return false, fmt.Errorf("%w: %w", api.ErrUnsigned, err)
	}
	return true, nil
}

func (apiCallbacks) ReceiptAction(result int64) call.ReceiptAction {
	return pushkit.ReceiptOf(result).Action
}

func (v apiVendors) Preview(ctx context.Context, w store.Wake) (api.Preview, error) {
	r, err := v.dispatcher.Preview(ctx, w)
	var unbuilt *push.UnbuiltError
	if errors.As(err, &unbuilt) {
		err = &api.UnbuiltError{Err: unbuilt.Err}
	}
	return api.Preview{Method: r.Method, URL: r.URL, Header: r.Header, Body: r.Body}, err
}
