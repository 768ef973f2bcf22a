package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// CancelCall withdraws a call that nobody answered. A call that has ended comes
// back as it ended.
//
// Errors: ErrNotFound, call.ErrAnswered, ErrBusy, ErrUnavailable.
func (s *Store) CancelCall(ctx context.Context, appID string, id uuid.UUID) (call.Call, error) {
	return s.end(ctx, appID, id, func(u *underLock) error { return u.call.Cancel(u.now) })
}

// EndCall ends a call: completed where it was answered, else canceled. A call
// that has ended comes back as it ended.
//
// Errors: ErrNotFound, ErrBusy, ErrUnavailable.
func (s *Store) EndCall(ctx context.Context, appID string, id uuid.UUID) (call.Call, error) {
	return s.end(ctx, appID, id, func(u *underLock) error {
		u.call.End(u.now)
		return nil
	})
}

func (s *Store) end(ctx context.Context, appID string, id uuid.UUID, how func(*underLock) error) (call.Call, error) {
	out, err := s.change(ctx, step{appID: appID, callID: id, apply: func(u *underLock) (any, error) {
		if err := how(u); err != nil {
			return nil, err
		}
		return u.snapshot(), nil
	}})
	if err != nil {
		return call.Call{}, err
	}
	return out.(call.Call), nil
}
