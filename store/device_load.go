package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// deviceColumns is what scanDevice reads: a device d with its tokens, the
// evidence of its region, the calls alive on it, whether its feed is open and its
// user's wish not to be disturbed. Its query is given deviceArgs.
const deviceColumns = `d.app_id, d.device_id, d.user_id, d.platform, d.device_type, d.system_version, d.emulator, d.environment, d.bundle_id, d.locale, d.call_ui, d.updated_at,
	(SELECT json_agg(json_build_object('name', t.name, 'token', t.token, 'state', t.state))
	   FROM device_tokens t WHERE t.app_id = d.app_id AND t.device_id = d.device_id),
	(SELECT json_agg(json_build_object('source', r.source, 'country', r.country, 'at', r.observed_at) ORDER BY r.source)
	   FROM device_regions r WHERE r.app_id = d.app_id AND r.device_id = d.device_id),
	(SELECT ARRAY[count(*) FILTER (WHERE l.direction = 'incoming'), count(*) FILTER (WHERE l.direction = 'outgoing')]
	   FROM legs l WHERE l.app_id = d.app_id AND l.device_id = d.device_id AND l.ended_at IS NULL AND l.call_id >= @recent),
	EXISTS (SELECT FROM feeds f LEFT JOIN processes p ON p.id = f.process
	  WHERE f.app_id = d.app_id AND f.device_id = d.device_id AND f.user_id = d.user_id AND f.ended IS NULL
	    AND CASE WHEN f.closed_at IS NULL THEN p.beat_at > clock_timestamp() - @silent::interval ELSE f.closed_at > clock_timestamp() - @grace::interval END),
	(SELECT n.wish FROM dnd n WHERE n.app_id = d.app_id AND n.user_id = d.user_id)`

// deviceArgs adds to a query's arguments what deviceColumns need: the id below
// which no call can still be alive, and what is needed to tell an open feed.
func (s *Store) deviceArgs(now time.Time, args pgx.NamedArgs) pgx.NamedArgs {
	args["recent"] = floorID(now.Add(-longestCall - time.Hour))
	args["silent"], args["grace"] = s.config.SilentAfter, feedGrace
	return args
}

// deviceRow is a live device of an app.
type deviceRow struct {
	call.Device
	appID string
}

func scanDevice(row pgx.CollectableRow) (deviceRow, error) {
	var d deviceRow
	var tokens, regions, wish []byte
	var alive [2]int
	err := row.Scan(&d.appID, &d.ID, &d.UserID, &d.Platform, &d.Type, &d.SystemVersion, &d.Emulator, &d.Environment, &d.BundleID, &d.Locale, &d.CallUI, when{&d.HeardAt},
		&tokens, &regions, &alive, &d.Connected, &wish)
	if err != nil {
		return d, err
	}
	d.AliveIncoming, d.AliveOutgoing = alive[0], alive[1]
	var t []struct {
		Name  call.TokenName
		Token string
		State call.TokenState
	}
	var r []struct {
		Source  call.EvidenceSource
		Country string
		At      time.Time
	}
	if err := unmarshalIfAny(tokens, &t); err != nil {
		return d, fmt.Errorf("tokens of device %s: %w", d.ID, err)
	}
	if err := unmarshalIfAny(regions, &r); err != nil {
		return d, fmt.Errorf("region of device %s: %w", d.ID, err)
	}
	if d.DND, err = readDND(wish); err != nil {
		return d, fmt.Errorf("user of device %s: %w", d.ID, err)
	}
	d.Tokens = make(map[call.TokenName]call.Token, len(t))
	for _, x := range t {
		d.Tokens[x.Name] = call.Token{Value: x.Token, State: x.State}
	}
	for _, x := range r {
		d.Region = append(d.Region, call.Evidence{Source: x.Source, Country: x.Country, At: x.At.UTC()})
	}
	return d, nil
}

func unmarshalIfAny(b []byte, into any) error {
	if b == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

// tenant is what a decision needs to know of an app.
type tenant struct {
	policy     call.Policy
	rules      *call.Rules
	configured map[call.Channel]bool
}

// queueTenants reads apps, the vendors that they have credentials for, and the
// database's time.
func queueTenants(b *pgx.Batch, ids []string, into map[string]tenant) {
	b.Queue(`SELECT a.id, a.policy, ARRAY(SELECT c.vendor FROM credentials c WHERE c.app_id = a.id)
		FROM apps a WHERE a.id = ANY($1)`, ids).Query(func(rows pgx.Rows) error {
		var id string
		var policy []byte
		var vendors []string
		_, err := pgx.ForEachRow(rows, []any{&id, &policy, &vendors}, func() error {
			p, err := readPolicy(policy)
			if err != nil {
				return fmt.Errorf("policy of app %s: %w", id, err)
			}
			rules, ok := call.RulesVersion(p.Rules)
			if !ok {
				return fmt.Errorf("policy of app %s names rules %q, which this program does not have", id, p.Rules)
			}
			into[id] = tenant{policy: p, rules: rules, configured: channelsOf(vendors)}
			return nil
		})
		return err
	})
}

// queueNow reads the database's time and sets the clock by it.
func (s *Store) queueNow(b *pgx.Batch, now *time.Time) {
	b.Queue(`SELECT clock_timestamp()`).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(now); err != nil {
			return err
		}
		*now = now.UTC().Truncate(time.Microsecond)
		s.clock.set(*now)
		return nil
	})
}
