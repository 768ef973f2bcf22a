package pushkitsim

import (
	"crypto/rsa"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// MaxJWTLifetime is the longest exp - iat; a longer one gets 80300036
	// (Push Kit REST v3, response codes).
	MaxJWTLifetime = 24 * time.Hour
	// FutureIssueSkew is how far iat may lie ahead of the simulator's clock.
	// Huawei names no skew: an assumption.
	FutureIssueSkew = 60 * time.Second

	jwtCacheSize = 4096
)

// ps256 takes only a salt as long as the hash (RFC 7518, section 3.5); the
// library's own method takes any.
var ps256 = &jwt.SigningMethodRSAPSS{
	SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA,
	Options:          &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
}

var jwtParser = jwt.NewParser()

// verifiedJWT is a JWT whose signature, issuer and audience were found right.
type verifiedJWT struct {
	key      *serviceKey
	iat, exp time.Time
}

type jwtCacheKey struct{ project, jwt string }

// jwtCache remembers verified JWTs by their exact text: senders use one for up
// to an hour, and an RSA check per request would be most of the work.
type jwtCache struct {
	mu sync.RWMutex
	m  map[jwtCacheKey]*verifiedJWT
}

func newJWTCache() *jwtCache { return &jwtCache{m: map[jwtCacheKey]*verifiedJWT{}} }

func (c *jwtCache) get(k jwtCacheKey) *verifiedJWT {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.m[k]
}

func (c *jwtCache) put(k jwtCacheKey, v *verifiedJWT) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= jwtCacheSize {
		clear(c.m)
	}
	c.m[k] = v
}

// checkJWT answers for the bearer, the JWT and the project, and finds the
// project.
func (s *Sim) checkJWT(req *sendRequest) *answer {
	token, ok := bearer(req.authorization)
	if !ok {
		return refuse(codeAuthentication)
	}
	reg := s.projects.current.Load()
	cacheKey := jwtCacheKey{req.projectID, token}
	v := reg.jwts.get(cacheKey)
	if v == nil {
		if v = reg.verify(token, req.projectID); v == nil {
			return refuse(codeAuthentication)
		}
		if req.at.Before(v.exp) {
			reg.jwts.put(cacheKey, v)
		}
	}
	if !req.at.Before(v.exp) {
		return refuse(codeJWTExpired)
	}
	if v.iat.After(req.at.Add(FutureIssueSkew)) {
		return refuse(codeAuthentication)
	}
	if v.exp.Sub(v.iat) > MaxJWTLifetime {
		return refuse(codeJWTPeriod)
	}
	if v.key.project != req.projectID {
		return refuse(codeAuthentication)
	}
	req.project = reg.byID[req.projectID]
	return nil
}

// verify checks algorithm, key id, signature, issuer and audience; nil means
// that one of them is wrong.
func (r *registry) verify(token, projectID string) *verifiedJWT {
	var claims jwt.RegisteredClaims
	t, parts, err := jwtParser.ParseUnverified(token, &claims)
	if err != nil || t.Header["alg"] != ps256.Alg() {
		return nil
	}
	kid, _ := t.Header["kid"].(string)
	sig, err := jwtParser.DecodeSegment(parts[2])
	if err != nil {
		return nil
	}
	key := r.signer(kid, projectID, func(k *serviceKey) bool {
		return ps256.Verify(parts[0]+"."+parts[1], sig, k.public) == nil
	})
	if key == nil || claims.Issuer != key.subAccount || !slices.Contains(claims.Audience, TokenURI) ||
		claims.IssuedAt == nil || claims.ExpiresAt == nil {
		return nil
	}
	return &verifiedJWT{key: key, iat: claims.IssuedAt.Time, exp: claims.ExpiresAt.Time}
}

// signer finds the key by its id, first in the project of the URL: a JWT of
// another project is a right JWT at the wrong place, and its expiry is told
// before that.
func (r *registry) signer(kid, projectID string, signed func(*serviceKey) bool) *serviceKey {
	if p := r.byID[projectID]; p != nil {
		if k := p.keys[kid]; k != nil && signed(k) {
			return k
		}
	}
	for id, p := range r.byID {
		if k := p.keys[kid]; id != projectID && k != nil && signed(k) {
			return k
		}
	}
	return nil
}

// bearer takes the credentials out of an Authorization header.
func bearer(header string) (string, bool) {
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// maskAuthorization keeps the JWT's header and claims, and hides what makes it
// usable.
func maskAuthorization(header string) string {
	scheme, rest, found := strings.Cut(header, " ")
	if !found {
		return "***"
	}
	if parts := strings.Split(rest, "."); len(parts) == 3 && strings.EqualFold(scheme, "Bearer") {
		return scheme + " " + parts[0] + "." + parts[1] + ".***"
	}
	return scheme + " ***"
}
