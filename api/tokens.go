package api

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/pushwake/relay/store"
)

// DeviceTokenFor is how long a device JWT is valid; a registration renews it.
const DeviceTokenFor = 90 * 24 * time.Hour

// WakeTokenFor is how long a wake's token outlives its ring, so that the app
// can still report what happened.
const WakeTokenFor = 24 * time.Hour

const (
	audienceDevice = "device"
	audienceWake   = "wake"
)

// Tokens mints and checks the JWTs that this service signs itself: device JWTs
// and the tokens of wakes.
type Tokens struct{ keys [][]byte }

// claims are the claims of both kinds. The time of issue is in microseconds,
// since it is compared with the time of a log-out.
type claims struct {
	jwt.RegisteredClaims
	AppID      string    `json:"app"`
	UserID     string    `json:"usr"`
	DeviceID   string    `json:"dev"`
	CallID     uuid.UUID `json:"call,omitzero"`
	LegID      uuid.UUID `json:"leg,omitzero"`
	IssuedAtUS int64     `json:"iat_us,omitzero"`
}

func (c *claims) issuedAt() time.Time { return time.UnixMicro(c.IssuedAtUS) }

// NewTokens derives the signing keys from the master keys: the first signs, all
// verify, so that a master key can be replaced without logging anybody out.
func NewTokens(masterKeys [][]byte) (*Tokens, error) {
	if len(masterKeys) == 0 {
		return nil, store.ErrNoMasterKey
	}
	t := &Tokens{}
	for _, master := range masterKeys {
		key, err := hkdf.Key(sha256.New, master, nil, "relay tokens", sha256.Size)
		if err != nil {
			return nil, err
		}
		t.keys = append(t.keys, key)
	}
	return t, nil
}

// Device mints a device JWT, issued at the given time of the database.
func (t *Tokens) Device(appID, userID, deviceID string, now time.Time) (token string, expires time.Time, err error) {
	expires = now.Add(DeviceTokenFor)
	token, err = t.sign(claims{
		RegisteredClaims: jwt.RegisteredClaims{Audience: jwt.ClaimStrings{audienceDevice}, ExpiresAt: jwt.NewNumericDate(expires)},
		AppID:            appID, UserID: userID, DeviceID: deviceID, IssuedAtUS: now.UnixMicro(),
	})
	return token, expires, err
}

// Wake mints the token of one wake.
func (t *Tokens) Wake(w store.Wake) (string, error) {
	return t.sign(claims{
		RegisteredClaims: jwt.RegisteredClaims{Audience: jwt.ClaimStrings{audienceWake}, ExpiresAt: jwt.NewNumericDate(w.Payload.ExpiresAt.Add(WakeTokenFor))},
		AppID:            w.AppID, UserID: w.UserID, DeviceID: w.DeviceID, CallID: w.CallID, LegID: w.LegID,
	})
}

func (t *Tokens) sign(c claims) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(t.keys[0])
}

// parse checks a token's signature, kind and age.
func (t *Tokens) parse(text, audience string, now time.Time) (claims, error) {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	err := errors.New("no key")
	for _, key := range t.keys {
		var c claims
		if _, err = parser.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return key, nil }); err == nil {
			return c, nil
		}
	}
	return claims{}, err
}
