package store

import (
	"context"
	"slices"
	"time"

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

// LoseCalls ends a device's part of the calls that it no longer has: those that
// are alive for it and not among kept. See call.Call.LoseLeg.
//
// Errors: ErrBusy, ErrUnavailable.
func (s *Store) LoseCalls(ctx context.Context, appID, deviceID, userID string, kept []uuid.UUID) error {
	return s.eachLeg(ctx, appID, deviceID, userID, kept, (*call.Call).LoseLeg)
}

// leaveCalls ends a device's part of the calls of a user that it belongs to no
// longer, but for those that it answered.
func (s *Store) leaveCalls(ctx context.Context, appID, deviceID, userID string) error {
	return s.eachLeg(ctx, appID, deviceID, userID, nil, (*call.Call).LeaveCall)
}

func (s *Store) eachLeg(ctx context.Context, appID, deviceID, userID string, but []uuid.UUID, do func(*call.Call, uuid.UUID, time.Time) bool) error {
	live, err := s.LiveCalls(ctx, appID, deviceID, userID)
	if err != nil {
		return err
	}
	live = slices.DeleteFunc(live, func(c call.Call) bool { return slices.Contains(but, c.ID) })
	return eachAtOnce(live, func(c call.Call) error {
		_, err := s.change(ctx, step{appID: appID, callID: c.ID, apply: func(u *underLock) (any, error) {
			if l := u.call.LegOf(deviceID); l != nil && l.UserID == userID {
				do(&u.call, l.ID, u.now)
			}
			return nil, nil
		}})
		return err
	})
}
