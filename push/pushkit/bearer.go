package pushkit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// audience is the claim aud; it is a fixed text, nothing is exchanged there
	// (Push Kit, service account JWT).
	audience = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"

	jwtLife      = time.Hour             // prescribed; over a day is refused with 80300036
	jwtRefresh   = 50 * time.Minute      // after this age a new one is signed
	jwtLastUse   = jwtLife - time.Minute // no request is sent with an older one, since the vendor's clock may be ahead
	jwtClockBack = time.Minute           // a clock that is set back by more puts iat into the future, which a server may refuse
)

// bearer is one signed JWT.
type bearer struct {
	header   string // "Bearer …"
	issued   time.Time
	renewal  bool        // signed because the one before it was refused
	answered atomic.Bool // the vendor has answered a request without refusing it
}

func (b *bearer) age(now time.Time) time.Duration { return now.Sub(b.issued) }

// signer holds the current JWT and makes the next. Signing takes milliseconds
// with Huawei's 4096-bit keys, so one JWT serves all sends.
type signer struct {
	key        KeyFile
	now        func() time.Time
	renewEvery time.Duration

	current atomic.Pointer[bearer]
	signing sync.Mutex
}

// bearer returns a JWT that is valid now. When it is due for refreshing, one
// caller signs the next one and the others go on with what they have; only
// when none is valid do all of them wait.
func (s *signer) bearer() (*bearer, error) {
	now := s.now()
	b := s.current.Load()
	if b != nil {
		age := b.age(now)
		switch {
		case age < -jwtClockBack || age >= jwtLastUse:
			s.signing.Lock()
		case age < jwtRefresh || !s.signing.TryLock():
			return b, nil
		}
	} else {
		s.signing.Lock()
	}
	defer s.signing.Unlock()
	if latest := s.current.Load(); latest != b {
		return latest, nil // another caller signed it in the meantime
	}
	return s.sign(now, false)
}

// renew replaces a JWT that the vendor refused, and reports whether there is
// another one to try. Of many requests refused with the same JWT the first one
// signs. A renewed JWT that is refused too, before it ever worked, is not
// replaced until renewEvery has passed: then the credential is at fault, and
// signing again for each call would only burn CPU.
func (s *signer) renew(refused *bearer) bool {
	s.signing.Lock()
	defer s.signing.Unlock()
	if s.current.Load() != refused {
		return true
	}
	now := s.now()
	if refused.renewal && !refused.answered.Load() && refused.age(now).Abs() < s.renewEvery {
		return false
	}
	_, err := s.sign(now, true)
	return err == nil
}

// sign makes and keeps a new JWT. The caller holds s.signing.
func (s *signer) sign(now time.Time, renewal bool) (*bearer, error) {
	issued := now.Truncate(time.Second)
	token := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{
		"iss": s.key.SubAccount,
		"aud": audience, // a string, as in Huawei's samples, not a list
		"iat": issued.Unix(),
		"exp": issued.Add(jwtLife).Unix(),
	})
	token.Header["kid"] = s.key.KeyID
	signed, err := token.SignedString(s.key.private)
	if err != nil {
		return nil, fmt.Errorf("sign the Push Kit JWT: %w", err)
	}
	b := &bearer{header: "Bearer " + signed, issued: issued, renewal: renewal}
	s.current.Store(b)
	return b, nil
}
