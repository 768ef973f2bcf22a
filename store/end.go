package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// CancelCall cancels a call that nobody has answered. A call that has ended is
// returned unchanged.
//
// Errors: ErrNotFound, call.ErrAnswered, ErrBusy, ErrUnavailable.
func (s *Store) CancelCall(ctx context.Context, appID string, id uuid.UUID) (call.Call, error) {
	return s.end(ctx, appID, id, func(u *underLock) error { return u.call.Cancel(u.now) })
}

// EndCall ends a call: as completed if it was answered, else as canceled. A
// call that has ended is returned unchanged.
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

// LoseCalls closes a device's open legs of all calls that are not among kept,
// the calls that the device still has. See call.Call.LoseLeg.
//
// Errors: ErrBusy, ErrUnavailable.
func (s *Store) LoseCalls(ctx context.Context, appID, deviceID, userID string, kept []uuid.UUID) error {
	return s.eachLeg(ctx, appID, deviceID, `user_id = $4 AND call_id <> ALL ($5)`, userID, append([]uuid.UUID{}, kept...), (*call.Call).LoseLeg)
}

// leaveCalls closes the device's open legs of calls to other users than its
// present one ("" for none), except those that it answered. It goes on even if
// the client that asked for the change of users has left.
func (s *Store) leaveCalls(ctx context.Context, appID, deviceID, userID string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	return s.eachLeg(ctx, appID, deviceID, `user_id <> $4 AND call_id <> ALL ($5)`, userID, []uuid.UUID{}, (*call.Call).LeaveCall)
}

// eachLeg makes a step on each of a device's open legs that the function which
// selects.
func (s *Store) eachLeg(ctx context.Context, appID, deviceID, which, userID string, but []uuid.UUID, do func(*call.Call, uuid.UUID, time.Time) bool) error {
	legs, err := s.query(ctx, `SELECT app_id, call_id, id AS leg_id, device_id FROM legs
		WHERE app_id = $1 AND device_id = $2 AND ended_at IS NULL AND call_id >= $3 AND `+which,
		appID, deviceID, floorID(s.Now().Add(-longestCall-time.Hour)), userID, but)
	if err != nil {
		return err
	}
	return eachAtOnce(legs, func(d due) error {
		_, err := s.change(ctx, step{appID: d.AppID, callID: d.CallID, apply: func(u *underLock) (any, error) {
			do(&u.call, d.LegID, u.now)
			return nil, nil
		}})
		return err
	})
}
