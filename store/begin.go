package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// longestCall is the most that an app may set as its longest call. No live call
// is older, so queries for live calls read only the newest partitions.
const longestCall = 24 * time.Hour

// idempotencyAge is how long a key is remembered.
const idempotencyAge = 24 * time.Hour

// beginTimeout bounds one transaction that inserts calls.
const beginTimeout = 10 * time.Second

// Invite is a backend's invitation after validation.
type Invite struct {
	AppID       string
	Key         string   // Idempotency-Key; "" for none
	BodyHash    [32]byte // of what the request says, to know a repeat by
	SentHash    [32]byte // of its bytes, zero for none: an earlier version remembered keys with it, and they are good for 24 h
	Ref         string
	Caller      call.Party
	Callee      call.Party
	Media       call.Media
	VoiceAnswer bool
	Conference  bool
	Custom      []byte // a JSON object as sent; nil for none
	Ring        time.Duration
}

// Dial is a device's report that it starts a call.
type Dial struct {
	AppID    string
	DeviceID string
	UserID   string
	ClientID string   // the device's own id of the call; a repeat gets the same call
	BodyHash [32]byte // as Invite's
	SentHash [32]byte
	Callee   call.Party
	Media    call.Media
}

// beginning is a new call, incoming or outgoing, on its way into the database.
type beginning struct {
	call     call.Call
	userID   string // the callee, or the user whose device dials
	deviceID string // of the device that dials
	scope    string // of the idempotency key
	key      string
	hash     [32]byte
	sentHash [32]byte
	ring     time.Duration
}

func (b *beginning) outgoing() bool { return b.deviceID != "" }

// CreateCall commits an invitation with a leg for each of the callee's devices
// and hands its wakes to this process's dispatcher.
//
// Errors: ErrKeyReused, ErrInProgress (another process has held the same key's
// lock for 5 s), ErrBusy, ErrUnavailable.
func (s *Store) CreateCall(ctx context.Context, in Invite) (call.Call, error) {
	if s.config.Full() {
		return call.Call{}, ErrBusy
	}
	return s.begin(ctx, in.beginning())
}

func (in Invite) beginning() beginning {
	return beginning{
		userID: in.Callee.UserID, scope: "backend", key: in.Key, hash: in.BodyHash, sentHash: in.SentHash, ring: in.Ring,
		call: call.Call{
			AppID: in.AppID, Direction: call.Incoming, Ref: in.Ref, Caller: in.Caller, Callee: in.Callee, Media: in.Media,
			VoiceAnswer: in.VoiceAnswer, Conference: in.Conference, Custom: in.Custom,
		},
	}
}

// DialCall commits an outgoing call that a device reported.
//
// Errors: ErrOutgoingLimit, call.ErrRegionNot, call.ErrRegionUnsure,
// ErrDeviceRefused (an emulator), ErrForeignDevice, ErrKeyReused,
// ErrInProgress, ErrBusy, ErrUnavailable.
func (s *Store) DialCall(ctx context.Context, in Dial) (call.Call, error) {
	return s.begin(ctx, beginning{
		userID: in.UserID, deviceID: in.DeviceID, scope: dialScope(in.DeviceID, in.UserID), key: in.ClientID, hash: in.BodyHash, sentHash: in.SentHash,
		call: call.Call{
			AppID: in.AppID, Direction: call.Outgoing, ClientID: in.ClientID, Caller: call.Party{UserID: in.UserID}, Callee: in.Callee, Media: in.Media,
		},
	})
}

// dialScope is the scope in which a device's client id is unique. It includes
// the user, so that an install that changed accounts never gets a call of its
// former account as the answer.
func dialScope(deviceID, userID string) string { return fmt.Sprintf("device:%q:%q", deviceID, userID) }

func (s *Store) begin(ctx context.Context, in beginning) (call.Call, error) {
	c, err := s.begins.do(ctx, in)
	var repeat *repeatError
	if errors.As(err, &repeat) {
		return s.createdCall(ctx, in.call.AppID, repeat.callID)
	}
	return c, err
}

// repeatError says that the request was made before and has its call.
type repeatError struct{ callID uuid.UUID }

func (*repeatError) Error() string { return "a repeat" }

// createdCall is a call as it was when it was created, by its first event.
func (s *Store) createdCall(ctx context.Context, appID string, id uuid.UUID) (call.Call, error) {
	c, err := s.Call(ctx, appID, id)
	if err != nil {
		return c, err
	}
	var data []byte
	first := call.Event{Type: call.EventCallCreated, Seq: 1}
	// The event's id is of the same moment as the call's: one partition holds it.
	err = s.pool.QueryRow(ctx, `SELECT data, at FROM events WHERE app_id = $1 AND call_id = $2 AND call_seq = 1 AND id BETWEEN $3 AND $4`,
		appID, id, floorID(timeOf(id)), ceilingID(timeOf(id))).Scan(&data, &first.Time)
	if errors.Is(err, pgx.ErrNoRows) {
		return call.Call{}, ErrNotFound
	}
	if err != nil {
		return call.Call{}, translate(err)
	}
	r, err := readEvent(data, first)
	if err != nil {
		return call.Call{}, err
	}
	r.onto(&c)
	at := make(map[uuid.UUID]int, len(r.Legs)) // the order in which the first answer told them
	for i, l := range r.Legs {
		at[l.ID] = i
	}
	slices.SortFunc(c.Legs, func(a, b call.Leg) int { return cmp.Compare(at[a.ID], at[b.ID]) })
	return c, nil
}

type appKey struct{ appID, key string }
type scopedKey struct{ appID, scope, key string }

// known is what a batch of new calls has read and decided so far.
type known struct {
	now     time.Time
	tenants map[string]tenant
	devices map[appKey][]deviceRow // by user
	alive   map[appKey]*[2]int     // by device: calls begun in this batch, incoming and outgoing
	keys    map[scopedKey]usedKey
}

func newKnown() *known {
	return &known{tenants: map[string]tenant{}, devices: map[appKey][]deviceRow{}, alive: map[appKey]*[2]int{}, keys: map[scopedKey]usedKey{}}
}

type usedKey struct {
	hash   []byte
	callID uuid.UUID
}

// repeats reports whether the request is the one that its key was used with.
func (b *beginning) repeats(used usedKey) bool {
	return bytes.Equal(used.hash, b.hash[:]) || b.sentHash != [32]byte{} && bytes.Equal(used.hash, b.sentHash[:])
}

// writeBegins takes in a batch of calls in one transaction.
func (s *Store) writeBegins(jobs []*job[beginning, call.Call]) error {
	ctx, cancel := context.WithTimeout(context.Background(), beginTimeout)
	defer cancel()
	k := newKnown()
	w := &writes{process: s.process}
	var wakes []Wake
	err := s.transact(ctx, s.patience(jobs[0].again), func(b *pgx.Batch) {
		queueLocks(b, beginLocks(jobs))
		s.loadBegins(b, jobs, k)
	}, func(b *pgx.Batch) error {
		for _, j := range jobs {
			var first []Wake
			if j.out, first, j.err = s.decideBegin(&j.in, k, w); j.err == nil {
				wakes = append(wakes, first...)
			}
		}
		s.own(wakes) // before the commit: if its answer is lost, the take-over finds the wakes that we own and did not send
		s.ownNotices(w.noticeKeys()...)
		w.queue(b)
		return nil
	})
	if err != nil {
		s.disown(wakes)
		s.disownNotices(w.noticeKeys()...)
		if len(jobs) == 1 && jobs[0].in.key != "" && lockTimedOut(err) {
			return ErrInProgress
		}
		return err
	}
	w.committed()
	s.tail.committed()
	s.pickUp(w.notices)
	if len(wakes) > 0 {
		s.config.OnWakes(wakes)
	}
	return nil
}

// beginLocks lists the locks of a batch: those of the idempotency keys, and of
// the users whose devices are read.
func beginLocks(jobs []*job[beginning, call.Call]) (locks []int64) {
	for _, j := range jobs {
		if j.in.key != "" {
			locks = append(locks, lockKey("idempotency", j.in.call.AppID, j.in.scope, j.in.key))
		}
		locks = append(locks, lockKey("user", j.in.call.AppID, j.in.userID))
	}
	return locks
}

// loadBegins queues the reads of a batch.
func (s *Store) loadBegins(b *pgx.Batch, jobs []*job[beginning, call.Call], k *known) {
	var apps, userApps, users, keyApps, scopes, keys []string
	seen := map[appKey]bool{}
	for _, j := range jobs {
		in := &j.in
		app := in.call.AppID
		apps = append(apps, app)
		if in.key != "" {
			keyApps, scopes, keys = append(keyApps, app), append(scopes, in.scope), append(keys, in.key)
		}
		if user := (appKey{app, in.userID}); !seen[user] {
			seen[user] = true
			userApps, users = append(userApps, app), append(users, in.userID)
		}
	}
	queueTenants(b, apps, k.tenants)
	if len(keys) > 0 {
		b.Queue(`SELECT i.app_id, i.scope, i.key, i.body_hash, i.call_id
			FROM unnest($1::text[], $2::text[], $3::text[]) AS q (app_id, scope, key)
			JOIN idempotency_keys i USING (app_id, scope, key)
			WHERE i.created_at > clock_timestamp() - $4::interval`, keyApps, scopes, keys, idempotencyAge).Query(func(rows pgx.Rows) error {
			var id scopedKey
			var used usedKey
			_, err := pgx.ForEachRow(rows, []any{&id.appID, &id.scope, &id.key, &used.hash, &used.callID}, func() error {
				k.keys[id] = used
				return nil
			})
			return err
		})
	}
	b.Queue(`SELECT `+deviceColumns+`
		FROM unnest(@apps::text[], @users::text[]) AS u (app_id, user_id)
		JOIN devices d USING (app_id, user_id)
		WHERE d.deleted_at IS NULL`,
		s.deviceArgs(s.Now(), pgx.NamedArgs{"apps": userApps, "users": users})).Query(func(rows pgx.Rows) error {
		devices, err := pgx.CollectRows(rows, scanDevice)
		for _, d := range devices {
			user := appKey{d.appID, d.UserID}
			k.devices[user] = append(k.devices[user], d)
		}
		return err
	})
	s.queueNow(b, &k.now)
}

// decideBegin decides one call of a batch; the calls before it count.
func (s *Store) decideBegin(in *beginning, k *known, w *writes) (call.Call, []Wake, error) {
	id := scopedKey{in.call.AppID, in.scope, in.key}
	if used, ok := k.keys[id]; ok && in.key != "" {
		if !in.repeats(used) {
			return call.Call{}, nil, ErrKeyReused
		}
		return call.Call{}, nil, &repeatError{used.callID}
	}
	t, ok := k.tenants[in.call.AppID]
	if !ok {
		return call.Call{}, nil, ErrNotFound
	}
	c := in.call
	c.ID = newID(k.now)
	c.RejectPolicy, c.MaxDuration, c.RulesVersion = t.policy.Reject, t.policy.MaxDuration, t.rules.Version
	legID := func() uuid.UUID { return newID(k.now) }
	var wakes []Wake
	if in.outgoing() {
		d, ok := k.device(in.call.AppID, in.userID, in.deviceID)
		if !ok {
			return call.Call{}, nil, ErrForeignDevice
		}
		decision, room := t.rules.GateOutgoing(d, k.now)
		switch {
		case decision.Reason == call.ReasonRegionNotSupported:
			return call.Call{}, nil, call.ErrRegionNot
		case decision.Reason == call.ReasonRegionUnknown:
			return call.Call{}, nil, call.ErrRegionUnsure
		case decision.Reason == call.ReasonEmulatorNotSupported:
			return call.Call{}, nil, ErrDeviceRefused
		case !room:
			return call.Call{}, nil, ErrOutgoingLimit
		}
		c.Dial(decision, k.now, legID)
		k.begun(in.call.AppID, in.deviceID)[1]++
	} else {
		plan := t.rules.Plan(k.devicesOf(in.call.AppID, in.userID), t.configured, t.policy.MaxDevices, k.now)
		plan, c.MoreSkipped = call.Keep(plan, t.policy.MaxDevices)
		c.Invite(plan, in.ring, k.now, legID)
		for i := range c.Legs {
			l := &c.Legs[i]
			if !l.Status.Open() {
				continue
			}
			k.begun(in.call.AppID, l.DeviceID)[0]++
			if l.Channel != call.Connection {
				wakes = append(wakes, newWake(&c, l, plan[i].Device, t.policy, 1, time.Now().Add(in.ring)))
			}
		}
	}
	w.begin(&c, k.now)
	begun := c
	w.observe(func() { s.metrics.begun(&begun) })
	if in.key != "" {
		k.keys[id] = usedKey{in.hash[:], c.ID}
		w.keys = append(w.keys, keyWrite{scopedKey: id, usedKey: k.keys[id], at: k.now})
	}
	return c, wakes, nil
}

// devicesOf lists a user's devices. The calls that this batch has begun on them
// count as alive.
func (k *known) devicesOf(appID, userID string) []call.Device {
	rows := k.devices[appKey{appID, userID}]
	devices := make([]call.Device, len(rows))
	for i, r := range rows {
		devices[i] = r.Device
		if n := k.alive[appKey{appID, r.ID}]; n != nil {
			devices[i].AliveIncoming += n[0]
			devices[i].AliveOutgoing += n[1]
		}
	}
	return devices
}

func (k *known) device(appID, userID, deviceID string) (call.Device, bool) {
	for _, d := range k.devicesOf(appID, userID) {
		if d.ID == deviceID {
			return d, true
		}
	}
	return call.Device{}, false
}

func (k *known) begun(appID, deviceID string) *[2]int {
	key := appKey{appID, deviceID}
	if k.alive[key] == nil {
		k.alive[key] = &[2]int{}
	}
	return k.alive[key]
}
