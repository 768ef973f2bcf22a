package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// PlanCall decides an invitation as CreateCall would now, but stores nothing
// and wakes nobody: the call, legs and wakes that it returns do not exist. It
// ignores the idempotency key.
//
// Errors: ErrNotFound for an unknown app, ErrUnavailable.
func (s *Store) PlanCall(ctx context.Context, in Invite) (call.Call, []Wake, error) {
	in.Key = ""
	planned := in.beginning()
	k := newKnown()
	b := &pgx.Batch{}
	s.loadBegins(b, []*job[beginning, call.Call]{{in: planned}}, k)
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return call.Call{}, nil, translate(err)
	}
	return s.decideBegin(&planned, k, &writes{process: s.process})
}
