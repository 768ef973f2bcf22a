package apns

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// Apple refuses a token older than an hour, and a new one more often than
	// every 20 minutes on a connection (Apple, Establishing a token-based
	// connection to APNs; Handling notification responses from APNs).
	minTokenAge = 20 * time.Minute
	maxTokenAge = time.Hour

	// A token is replaced at an age between these two, so that processes that
	// started together do not renew together.
	refreshFrom = 45 * time.Minute
	refreshTo   = 50 * time.Minute
)

// bearer is one signed provider token.
type bearer struct {
	header  string // "bearer …"
	issued  time.Time
	refresh time.Duration // the age at which it is replaced
}

// signer holds a key's current provider token, which all connections share:
// ES256 signatures differ each time, and a connection that meets many tokens is
// answered with TooManyProviderTokenUpdates.
type signer struct {
	key Key
	now func() time.Time

	mu      sync.Mutex
	current *bearer
}

// bearer returns the current token, and signs a new one where there is none or
// the last is old.
func (s *signer) bearer() (*bearer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.current; b != nil {
		age := s.now().Sub(b.issued)
		// A clock that is set back puts iat into the future; Apple refuses more
		// than an hour of that, too.
		if age < b.refresh && age > -maxTokenAge {
			return b, nil
		}
	}
	return s.sign()
}

// renew replaces a token that Apple called expired, and reports whether there
// is another one to try. A token younger than 20 minutes is not replaced: the
// clock must be wrong, and a new token would be refused as well.
func (s *signer) renew(refused *bearer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != refused {
		return true
	}
	if s.now().Sub(refused.issued).Abs() < minTokenAge {
		return false
	}
	_, err := s.sign()
	return err == nil
}

// sign makes and keeps a new token. The caller holds s.mu.
func (s *signer) sign() (*bearer, error) {
	issued := s.now().Truncate(time.Second)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": s.key.TeamID, "iat": issued.Unix()})
	token.Header["kid"] = s.key.KeyID
	signed, err := token.SignedString(s.key.private)
	if err != nil {
		return nil, fmt.Errorf("sign the APNs provider token: %w", err)
	}
	s.current = &bearer{header: "bearer " + signed, issued: issued, refresh: refreshFrom + rand.N(refreshTo-refreshFrom)}
	return s.current, nil
}
