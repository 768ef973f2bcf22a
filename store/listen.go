package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is the NOTIFY channel by which processes wake each other's tails.
const channel = "relay_events"

// announce tells the other processes of commits, at most every few
// milliseconds: a NOTIFY in each transaction would halve the rate of all.
func (s *Store) announce(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.tail.announced:
		}
		if s.tail.isAlone() {
			continue
		}
		if err := s.notify(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("not announced", "error", err) // the others poll
		}
		if !sleep(ctx, announceEvery) {
			return nil
		}
	}
}

const announceEvery = 5 * time.Millisecond

func (s *Store) notify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	// A NOTIFY makes its transaction a writing one; its commit need not wait
	// for the disk.
	_, err := s.pool.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`, channel, s.process.String())
	return err
}

func (t *tail) isAlone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.alone
}

func (t *tail) setAlone(alone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alone = alone
}

// listen waits for the others' announcements on a connection of its own, and
// connects again when it is lost. Without it, the tail polls.
func (s *Store) listen(ctx context.Context) error {
	if s.config.NoListen {
		return nil
	}
	pause := listenAgain
	for ctx.Err() == nil {
		started := time.Now()
		err := s.listenOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > time.Minute {
			pause = listenAgain
		}
		s.log.Warn("LISTEN was lost; the event log is polled meanwhile", "error", err)
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, 10*time.Second)
	}
	return nil
}

const listenAgain = 100 * time.Millisecond

func (s *Store) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it is lost already, or no longer needed
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	signal(s.tail.woken) // for commits that were announced before
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload != s.process.String() { // its own commits woke the tail already
			signal(s.tail.woken)
		}
	}
}
