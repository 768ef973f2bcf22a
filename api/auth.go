package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/store"
)

// Backend is an app's VoIP server.
type Backend struct{ AppID string }

// Admin is an operator.
type Admin struct{ KeyID uuid.UUID }

// Device is an install of an app, by its device JWT.
type Device struct {
	AppID    string
	DeviceID string
	UserID   string
	IssuedAt time.Time
}

// Leg is a device acting on one call: by its device JWT, or by the token that
// came with the wake of that leg.
type Leg struct {
	AppID    string
	DeviceID string
	UserID   string
	CallID   uuid.UUID
	LegID    uuid.UUID // of a wake's token; zero for a device JWT
}

// backend adapts a handler for VoIP backends. types are its media types; none
// means JSON.
func (s *server) backend(h func(http.ResponseWriter, *http.Request, Backend) error, types ...string) http.HandlerFunc {
	return s.open(func(w http.ResponseWriter, r *http.Request) error {
		k, err := s.key(r, store.BackendKey)
		if err != nil {
			return err
		}
		s.known(r, "backend", k.AppID)
		return h(w, r, Backend{AppID: k.AppID})
	}, types...)
}

// admin adapts a handler for operators. types are what it answers with where
// that is not JSON.
func (s *server) admin(h func(http.ResponseWriter, *http.Request, Admin) error, types ...string) http.HandlerFunc {
	return s.open(func(w http.ResponseWriter, r *http.Request) error {
		k, err := s.key(r, store.AdminKey)
		if err != nil {
			return err
		}
		s.known(r, "admin", "")
		return h(w, r, Admin{KeyID: k.ID})
	}, types...)
}

// device adapts a handler for app installs. types are what it answers with where
// that is not JSON alone.
func (s *server) device(h func(http.ResponseWriter, *http.Request, Device) error, types ...string) http.HandlerFunc {
	return s.open(func(w http.ResponseWriter, r *http.Request) error {
		claims, err := s.deviceClaims(r)
		if err != nil {
			return err
		}
		return h(w, r, Device{AppID: claims.AppID, DeviceID: claims.DeviceID, UserID: claims.UserID, IssuedAt: claims.issuedAt()})
	}, types...)
}

// registrant adapts the handler by which an install registers itself. It does
// not check who owns the install: after a change of accounts a newer JWT may
// take it over, which only the registration can decide.
func (s *server) registrant(h func(http.ResponseWriter, *http.Request, Device) error) http.HandlerFunc {
	return s.open(func(w http.ResponseWriter, r *http.Request) error {
		claims, err := s.signedClaims(r)
		if err != nil {
			return err
		}
		return h(w, r, Device{AppID: claims.AppID, DeviceID: claims.DeviceID, UserID: claims.UserID, IssuedAt: claims.issuedAt()})
	})
}

// leg adapts a handler for what a device does with one call.
func (s *server) leg(h func(http.ResponseWriter, *http.Request, Leg) error) http.HandlerFunc {
	return s.open(func(w http.ResponseWriter, r *http.Request) error {
		text, err := bearer(r)
		if err != nil {
			return err
		}
		id, err := pathID(r)
		if err != nil {
			return err
		}
		if claims, err := s.Tokens.parse(text, audienceWake, s.Store.Now()); err == nil {
			if claims.CallID != id {
				return store.ErrNotFound
			}
			s.known(r, "device", claims.AppID)
			return h(w, r, Leg{AppID: claims.AppID, DeviceID: claims.DeviceID, UserID: claims.UserID, CallID: id, LegID: claims.LegID})
		}
		claims, err := s.deviceClaims(r)
		if err != nil {
			return err
		}
		return h(w, r, Leg{AppID: claims.AppID, DeviceID: claims.DeviceID, UserID: claims.UserID, CallID: id})
	})
}

// open adapts a handler that needs no principal. An error that the handler
// returns becomes a problem. The request's Accept header must allow one of
// types, or JSON where there are none. A JSON answer must come within
// Config.AnswerWithin; otherwise a database that accepts connections and never
// answers would block every request.
func (s *server) open(h func(http.ResponseWriter, *http.Request) error, types ...string) http.HandlerFunc {
	stream := len(types) > 0
	if !stream {
		types = []string{"application/json", "application/problem+json"}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if !stream {
			ctx, cancel := context.WithTimeoutCause(r.Context(), s.AnswerWithin+preferredWait(r), errSilence)
			defer cancel()
			r = r.WithContext(ctx)
		}
		if err := acceptable(r, types); err != nil {
			s.fail(w, r, err)
			return
		}
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

func (s *server) known(r *http.Request, principal, appID string) {
	about := requestOf(r.Context())
	about.principal, about.appID = principal, appID
}

// deviceClaims authenticates a device JWT, and asks whether its install still
// belongs to its user.
func (s *server) deviceClaims(r *http.Request) (claims, error) {
	c, err := s.signedClaims(r)
	if err != nil {
		return claims{}, err
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), s.AnswerWithin, errSilence) // a feed has no deadline of its own
	defer cancel()
	if err := s.Store.CheckInstall(ctx, c.AppID, c.DeviceID, c.UserID, c.issuedAt()); err != nil {
		return c, causeOf(ctx, err)
	}
	return c, nil
}

// signedClaims authenticates a device JWT by its signature and age, without
// asking the database.
func (s *server) signedClaims(r *http.Request) (claims, error) {
	text, err := bearer(r)
	if err != nil {
		return claims{}, err
	}
	c, err := s.Tokens.parse(text, audienceDevice, s.Store.Now())
	if err != nil {
		return claims{}, errWrongPrincipal
	}
	s.known(r, "device", c.AppID)
	return c, nil
}

func bearer(r *http.Request) (string, error) {
	scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || text == "" {
		return "", errUnauthenticated
	}
	return strings.TrimSpace(text), nil
}

// keyCacheFor is how long a key that was good is taken for good: a revoked one
// works on for so long.
const keyCacheFor = 5 * time.Second

// keyCache keeps the keys that were valid a moment ago, so that not every
// request of a busy backend needs a query.
type keyCache struct {
	mu   sync.Mutex
	keys map[string]cachedKey
}

type cachedKey struct {
	store.Key
	until time.Time
}

// key authenticates an API key of the kind that is needed.
func (s *server) key(r *http.Request, need store.Principal) (store.Key, error) {
	text, err := bearer(r)
	if err != nil {
		return store.Key{}, err
	}
	if !strings.HasPrefix(text, store.KeyPrefix) {
		return store.Key{}, errWrongPrincipal
	}
	now := time.Now()
	s.keys.mu.Lock()
	cached, ok := s.keys.keys[text]
	s.keys.mu.Unlock()
	if !ok || now.After(cached.until) {
		found, err := s.Store.FindKey(r.Context(), text)
		if err != nil {
			if problemOf(err).Code == CodeNotFound {
				return store.Key{}, errWrongPrincipal
			}
			return store.Key{}, err
		}
		cached = cachedKey{found, now.Add(keyCacheFor)}
		s.keys.mu.Lock()
		if s.keys.keys == nil || len(s.keys.keys) > 10_000 {
			s.keys.keys = map[string]cachedKey{}
		}
		s.keys.keys[text] = cached
		s.keys.mu.Unlock()
	}
	if cached.Principal != need {
		return store.Key{}, errWrongPrincipal
	}
	return cached.Key, nil
}
