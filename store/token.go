package store

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// A storm is that so many tokens of an app would die within so long, and more
// than half of all: then the credential, the project or the vendor is at fault,
// and the tokens are as good as before.
const (
	stormTokens = 20
	stormWindow = time.Minute
)

// tokenWrite is a vendor's word that a token is no good.
type tokenWrite struct {
	appID, deviceID string
	name            call.TokenName
	token           string
	state           call.TokenState
	since           time.Time // a token that was registered later lives on; zero where only the token itself counts
	at              time.Time
	evidence        tokenEvidence
}

// TokenEvidenceSource is where a vendor says that a token is dead.
type TokenEvidenceSource string

const (
	evidenceAnswer  TokenEvidenceSource = "answer"  // to a push
	evidenceReceipt TokenEvidenceSource = "receipt" // of a push that it had accepted
)

// TokenEvidenceSources lists every source.
var TokenEvidenceSources = []TokenEvidenceSource{evidenceAnswer, evidenceReceipt}

// tokenEvidence is why a token is dead, as the event device.token_dead tells it.
type tokenEvidence struct {
	Source     TokenEvidenceSource `json:"source"`
	Vendor     call.Vendor         `json:"vendor"`
	Code       *string             `json:"code"`        // the vendor's
	AttemptID  *uuid.UUID          `json:"attempt_id"`  // of the push
	VendorTime *evidenceTime       `json:"vendor_time"` // what the vendor tells of it, if it does
}

// evidenceTime is a time as the API tells it.
type evidenceTime time.Time

func (t evidenceTime) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05.000Z")), nil
}

// evidence is what an answer or a receipt says.
func evidence(source TokenEvidenceSource, vendor call.Vendor, code string, attempt uuid.UUID, at time.Time) tokenEvidence {
	e := tokenEvidence{Source: source, Vendor: vendor}
	if code = storable(code); code != "" {
		e.Code = &code
	}
	if attempt != uuid.Nil {
		e.AttemptID = &attempt
	}
	if !at.IsZero() {
		t := evidenceTime(at)
		e.VendorTime = &t
	}
	return e
}

// markToken marks a token that was refused for good.
func (u *underLock) markToken(w Wake, o Outcome) {
	if o.TokenState == "" {
		return
	}
	var code string
	var attempt uuid.UUID
	if o.Attempt != nil {
		code, attempt = o.Attempt.Code, o.Attempt.ID
	}
	u.writes.deadTokens = append(u.writes.deadTokens, tokenWrite{
		w.AppID, w.DeviceID, w.Channel.Token(), w.Token, o.TokenState, o.DeadSince, u.now, evidence(evidenceAnswer, w.Channel.Vendor(), code, attempt, o.DeadSince),
	})
}

// thisToken is the condition that a token is still the one that a vendor spoke
// of: the device has registered no other meanwhile, nor the same one again.
const thisToken = `t.app_id = $1 AND t.name = $2 AND t.device_id = $3 AND t.token = $4 AND t.state <> 'dead' AND ($5::timestamptz IS NULL OR t.registered_at < $5)`

// tellDead adds the event of tokens that died, from "marked".
const tellDead = `INSERT INTO events (app_id, id, type, at, data)
	SELECT $1, $6, 'device.token_dead', $7, json_build_object('device_id', m.device_id, 'user_id', d.user_id, 'token', $2::text, 'evidence', $8::json)
	FROM marked m JOIN devices d ON d.app_id = $1 AND d.device_id = m.device_id`

// queueTokens marks tokens that vendors refuse, and adds an event for each dead
// one. In an app that has so many that a storm is possible, a token is condemned
// instead, and dies when the window is over: see judgeTokens.
func (w *writes) queueTokens(b *pgx.Batch) {
	// Sorted, so that transactions lock the rows in one order.
	slices.SortStableFunc(w.deadTokens, func(a, b tokenWrite) int {
		return cmp.Or(cmp.Compare(a.appID, b.appID), cmp.Compare(a.deviceID, b.deviceID), cmp.Compare(a.name, b.name))
	})
	for _, t := range w.deadTokens {
		if t.state != call.TokenDead {
			b.Queue(`UPDATE device_tokens t SET state = $6 WHERE `+thisToken, t.appID, t.name, t.deviceID, t.token, orNull(t.since), t.state)
			continue
		}
		data, _ := json.Marshal(t.evidence) // texts and times cannot fail
		b.Queue(`WITH many AS (
				SELECT count(*) = $9 AS so FROM (SELECT FROM device_tokens t WHERE t.app_id = $1 AND t.name = $2 AND t.state <> 'dead' LIMIT $9) few),
			marked AS (UPDATE device_tokens t SET state = 'dead' FROM many WHERE NOT many.so AND `+thisToken+` RETURNING t.device_id),
			told AS (`+tellDead+`)
			INSERT INTO condemned_tokens (app_id, name, device_id, token, since, condemned_at, evidence)
			SELECT t.app_id, t.name, t.device_id, t.token, coalesce($5, $7), $7, $8 FROM device_tokens t, many WHERE many.so AND `+thisToken+`
			ON CONFLICT DO NOTHING`, t.appID, t.name, t.deviceID, t.token, orNull(t.since), newID(t.at), t.at, string(data), stormTokens)
	}
}
