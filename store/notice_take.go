package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// orphanNotice is a notice to be picked up: one that was just written, or one
// whose owner fell silent.
type orphanNotice struct {
	AppID    string
	CallID   uuid.UUID
	LegID    uuid.UUID
	Purpose  call.Purpose
	DeviceID string
	Owner    uuid.UUID
}

// pickUp reads the tokens for the notices that a batch has written and hands
// the notices to Config.OnWakes. Nobody waits for it: a notice that fails here
// is found by the next take-over.
func (s *Store) pickUp(rows []noticeWrite) {
	if len(rows) == 0 {
		return
	}
	s.pickUps.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*stepTimeout)
		defer cancel()
		err := eachAtOnce(rows, func(r noticeWrite) error {
			_, err := s.takeNotice(ctx, orphanNotice{r.appID, r.callID, r.leg, r.purpose, r.deviceID, s.process}, true)
			return err
		})
		if err != nil {
			s.log.Warn("notices are left to the next look for orphans", "error", err)
		}
	})
}

// takeNotices takes over the notices of processes that fell silent, and those
// that this process owns because the answer to their commit was lost.
func (s *Store) takeNotices(ctx context.Context) (int, error) {
	legs, purposes := s.noticesInHand()
	rows, err := s.pool.Query(ctx, `
		SELECT n.app_id, n.call_id, n.leg_id, n.purpose, n.device_id, n.process AS owner
		FROM notices n LEFT JOIN processes p ON p.id = n.process
		WHERE n.done_at IS NULL AND n.call_id >= $1
		  AND (n.process = $2 AND NOT EXISTS (
		         SELECT FROM unnest($4::uuid[], $5::text[]) AS h (leg_id, purpose) WHERE h.leg_id = n.leg_id AND h.purpose = n.purpose)
		    OR n.process <> $2 AND (p.beat_at IS NULL OR p.beat_at < clock_timestamp() - $3::interval))
		LIMIT 1000`, floorID(s.Now().Add(-longestCall-time.Hour)), s.process, s.config.SilentAfter, legs, purposes)
	if err != nil {
		return 0, translate(err)
	}
	orphans, err := collect[orphanNotice](rows)
	if err != nil {
		return 0, translate(err)
	}
	taken := make(chan struct{}, len(orphans))
	err = eachAtOnce(orphans, func(o orphanNotice) error {
		took, err := s.takeNotice(ctx, o, false)
		if took {
			taken <- struct{}{}
		}
		return err
	})
	return len(taken), err
}

// takeNotice has this process send a notice, as a step of its call, and reports
// whether there is something to be sent. fresh says that this process has just
// written it and has it in hand already.
func (s *Store) takeNotice(ctx context.Context, o orphanNotice, fresh bool) (bool, error) {
	key := noticeKey{o.LegID, o.Purpose}
	out, err := s.change(ctx, step{appID: o.AppID, callID: o.CallID, deviceID: o.DeviceID, notice: true, apply: func(u *underLock) (any, error) {
		if !fresh && o.Owner == s.process && s.noticeInHand(key) {
			return (*Wake)(nil), nil // found by an earlier look
		}
		return u.takeNotice(s.process, o, fresh), nil
	}})
	w, _ := out.(*Wake)
	if err != nil || w == nil {
		if fresh {
			s.disownNotices(key)
		}
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return false, err
	}
	s.own([]Wake{*w})
	s.config.OnWakes([]Wake{*w})
	return true, nil
}

// takeNotice makes a process the owner of a notice and records the attempt that
// the last owner may have made. It returns nil where nothing is left to be sent
// or nothing can be.
func (u *underLock) takeNotice(process uuid.UUID, o orphanNotice, fresh bool) *Wake {
	l, n := u.call.Leg(o.LegID), u.noticeOf(noticeKey{o.LegID, o.Purpose})
	if l == nil || n == nil || !n.doneAt.IsZero() || n.process != o.Owner {
		return nil // another was faster
	}
	if !fresh {
		u.writes.attempts = append(u.writes.attempts, attemptWrite{
			Attempt: Attempt{
				ID: newID(u.now), Purpose: n.purpose, Number: n.attempt, Channel: n.channel, StartedAt: u.now, FinishedAt: u.now,
				Outcome: "abandoned", Blame: "us", Message: abandoned,
			}, appID: o.AppID, callID: o.CallID, legID: o.LegID,
		})
		n.process = process
		n.attempt++
	}
	d, ok := u.devices[appKey{o.AppID, o.DeviceID}]
	if !ok || d.UserID != l.UserID {
		n.doneAt, n.reason = u.now, call.ReasonNoToken
		return nil
	}
	if reason := d.Notifiable(n.channel, u.tenant.configured); reason != "" {
		n.doneAt, n.reason = u.now, reason
		return nil
	}
	patience := n.createdAt.Add(call.NoticePatience).Sub(u.now)
	w := newWake(&u.call, l, d.Device, u.tenant.policy, n.attempt, time.Now().Add(patience))
	w.Purpose, w.Channel, w.Token = n.purpose, n.channel, d.Tokens[n.channel.Token()].Value
	w.Payload.Purpose, w.Payload.Presentation = n.purpose, call.Alert
	if n.purpose == call.PurposeMissedCall {
		w.Text = u.tenant.policy.MissedText(d.Locale, u.call.Media)
	}
	return &w
}
