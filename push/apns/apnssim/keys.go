package apnssim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	maxTokenAge    = time.Hour        // of a provider token, either way of now
	minTokenUpdate = 20 * time.Minute // between two provider tokens on a connection
)

// key is a signing key that was made here.
type key struct {
	team        string
	topics      []string    // bundle ids; none means all of the team
	environment Environment // "" means both, as keys of before 2025
	public      *ecdsa.PublicKey
}

// KeyOptions say what a key may be used for.
type KeyOptions struct {
	TeamID      string      `json:"team_id"`               // 10 capital letters and digits
	Topics      []string    `json:"topics,omitempty"`      // bundle ids; none means all
	Environment Environment `json:"environment,omitempty"` // "" means both
}

// SigningKey is a key as Apple's developer account gives it out.
type SigningKey struct {
	KeyID  string `json:"key_id"`
	TeamID string `json:"team_id"`
	P8     string `json:"p8"`
}

var tenCharacters = regexp.MustCompile(`^[A-Z0-9]{10}$`)

// NewKey makes a signing key that the simulator trusts from now on.
func (s *Sim) NewKey(o KeyOptions) (SigningKey, error) {
	if !tenCharacters.MatchString(o.TeamID) {
		return SigningKey{}, errors.New("team_id must be 10 capital letters and digits")
	}
	if err := o.Environment.check(); err != nil {
		return SigningKey{}, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return SigningKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return SigningKey{}, err
	}
	made := SigningKey{KeyID: rand.Text()[:10], TeamID: o.TeamID, P8: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[made.KeyID] = key{team: o.TeamID, topics: o.Topics, environment: o.Environment, public: &private.PublicKey}
	return made, nil
}

// RevokeKey revokes a key, as the developer account can.
func (s *Sim) RevokeKey(keyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, keyID)
}

// authorize checks a provider token on a connection and finds its key.
func (c *conn) authorize(header string) (known key, refused *refusal) {
	text, isBearer := cutBearer(header)
	if !isBearer {
		return known, refuse(403, "MissingProviderToken")
	}
	var (
		kid    string
		claims jwt.RegisteredClaims
	)
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation()).ParseWithClaims(text, &claims, func(t *jwt.Token) (any, error) {
		kid, _ = t.Header["kid"].(string)
		c.sim.mu.Lock()
		defer c.sim.mu.Unlock()
		k, ok := c.sim.keys[kid]
		if !ok {
			return nil, errors.New("unknown key")
		}
		known = k
		return k.public, nil
	})
	now := c.sim.options.Now()
	switch {
	case err != nil, claims.Issuer != known.team, claims.IssuedAt == nil:
		return known, refuse(403, "InvalidProviderToken")
	case now.Sub(claims.IssuedAt.Time).Abs() > maxTokenAge:
		return known, refuse(403, "ExpiredProviderToken")
	case known.environment != "" && known.environment != c.environment:
		return known, refuse(403, "BadEnvironmentKeyIdInToken")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.keyID != "" && c.keyID != kid:
		return known, refuse(403, "UnrelatedKeyIdInToken")
	case c.bearer != "" && c.bearer != text && now.Sub(c.bearerSince) < minTokenUpdate:
		return known, refuse(429, "TooManyProviderTokenUpdates")
	}
	if c.bearer != text {
		c.keyID, c.bearer, c.bearerSince = kid, text, now
	}
	return known, nil
}

// covers reports whether the key may push to an app.
func (k key) covers(bundleID string) bool {
	return len(k.topics) == 0 || slices.Contains(k.topics, bundleID)
}

func cutBearer(header string) (string, bool) {
	scheme, text, ok := strings.Cut(header, " ")
	return text, ok && strings.EqualFold(scheme, "bearer") && text != ""
}
