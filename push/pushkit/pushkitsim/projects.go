package pushkitsim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// URLs of a service account (HUAWEI Developers, service account key file).
// TokenURI is also the audience of the JWT.
const (
	TokenURI = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"

	authURI       = "https://oauth-login.cloud.huawei.com/oauth2/v3/authorize"
	certURI       = "https://oauth-login.cloud.huawei.com/oauth2/v3/certs"
	clientCertURI = "https://oauth-login.cloud.huawei.com/oauth2/v3/x509?client_id="
)

const (
	serviceKeyBits = 2048 // Huawei's own keys have 4096 bits; smaller ones are quicker to make and to verify
	minKeyBits     = 2048
	defaultPackage = "com.example.voip"
)

// Project is one AppGallery Connect project.
type Project struct {
	ID string
	// SubAccount (claim iss), KeyID (header kid) and PublicKey (PEM, RSA, at
	// least 2048 bits) are one service account; leave all three empty to add
	// none.
	SubAccount, KeyID, PublicKey string
	// Disabled: Push Kit is switched off for the project; sends get 80300002.
	Disabled bool
	// Penalty: sends get 80300037.
	Penalty bool
	// Rights lists the push types allowed; others get noPushTypeRight. nil
	// allows all, an empty list none.
	Rights []int
	// QPS is the number of devices that may be pushed per second; 0 takes
	// [Quotas].QPS.
	QPS int
	// Package is the appPackageName of receipts; default com.example.voip.
	Package string
	// ClientID is the client id of the project's app, by which notifications are
	// revoked; default [ClientID] of the project.
	ClientID string
}

// ClientID is the client id that the app of a project has unless it is given
// another one: not the project's id, as with Huawei.
func ClientID(projectID string) string { return "client-" + projectID }

// project is immutable once registered, except its meter.
type project struct {
	id, pkg, client   string
	disabled, penalty bool
	rights            []int
	qps               int
	keys              map[string]*serviceKey // by key id
	meter             *meter
}

type serviceKey struct {
	project, subAccount string
	public              *rsa.PublicKey
}

// meter counts what a project's quotas limit.
type meter struct {
	sync.Mutex
	second, devices int64
	day, tests      int64
}

// registry is one state of all projects. A change makes a new one, so that
// verified JWTs die with the keys they were verified by.
type registry struct {
	byID map[string]*project
	jwts *jwtCache
}

type projects struct {
	write   sync.Mutex
	current atomic.Pointer[registry]
}

func (p *projects) init() {
	p.current.Store(&registry{byID: map[string]*project{}, jwts: newJWTCache()})
}

// change replaces the registry by a copy that edit has changed.
func (p *projects) change(edit func(byID map[string]*project) error) error {
	p.write.Lock()
	defer p.write.Unlock()
	byID := maps.Clone(p.current.Load().byID)
	if err := edit(byID); err != nil {
		return err
	}
	p.current.Store(&registry{byID: byID, jwts: newJWTCache()})
	return nil
}

func (p *projects) get(id string) *project { return p.current.Load().byID[id] }

// ofClient is the id of the project whose app has a client id; "" for none.
func (p *projects) ofClient(client string) string {
	for id, project := range p.current.Load().byID {
		if project.client == client {
			return id
		}
	}
	return ""
}

// AddProject adds a project, or replaces the settings of one that exists. Keys
// that it already has stay valid.
func (s *Sim) AddProject(p Project) error {
	return s.editProject(p.ID, func(old *project) error {
		old.disabled, old.penalty, old.rights, old.qps, old.pkg, old.client = p.Disabled, p.Penalty, slices.Clone(p.Rights), p.QPS, p.Package, p.ClientID
		return old.addKey(p.SubAccount, p.KeyID, p.PublicKey)
	})
}

// editProject changes a copy of the project, made when unknown, and registers
// it when edit and the settings are fine.
func (s *Sim) editProject(id string, edit func(*project) error) error {
	if id == "" {
		return errors.New("the project id is empty")
	}
	return s.projects.change(func(byID map[string]*project) error {
		next := &project{id: id, meter: &meter{}, keys: map[string]*serviceKey{}}
		if old := byID[id]; old != nil {
			*next = *old
			next.keys = maps.Clone(old.keys)
		}
		if err := edit(next); err != nil {
			return err
		}
		if next.qps < 0 {
			return errors.New("qps is negative")
		}
		for _, t := range next.rights {
			if !isPushType(t) {
				return fmt.Errorf("rights: %d is not a push type", t)
			}
		}
		if next.pkg == "" {
			next.pkg = defaultPackage
		}
		if next.client == "" {
			next.client = ClientID(id)
		}
		byID[id] = next
		return nil
	})
}

func (p *project) addKey(subAccount, keyID, publicKey string) error {
	if subAccount == "" && keyID == "" && publicKey == "" {
		return nil
	}
	if subAccount == "" || keyID == "" || publicKey == "" {
		return errors.New("sub_account, key_id and public_key come together")
	}
	key, err := jwt.ParseRSAPublicKeyFromPEM([]byte(publicKey))
	if err != nil {
		return fmt.Errorf("public_key: %w", err)
	}
	if key.N.BitLen() < minKeyBits {
		return fmt.Errorf("public_key has %d bits, at least %d are needed", key.N.BitLen(), minKeyBits)
	}
	p.keys[keyID] = &serviceKey{project: p.id, subAccount: subAccount, public: key}
	return nil
}

// RemoveProject forgets a project and its keys.
func (s *Sim) RemoveProject(id string) {
	_ = s.projects.change(func(byID map[string]*project) error { // this edit cannot fail
		delete(byID, id)
		return nil
	})
}

// NewServiceAccount makes a service account with a fresh RSA key for a project,
// which is added when unknown, and returns the key file as the HUAWEI
// Developers console gives it: JSON with the private key as PKCS#8 PEM. The
// private key is not kept.
func (s *Sim) NewServiceAccount(projectID string) (keyFileJSON []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, serviceKeyBits)
	if err != nil {
		return nil, fmt.Errorf("pushkitsim: make a key: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("pushkitsim: encode the private key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("pushkitsim: encode the public key: %w", err)
	}
	number, err := rand.Int(rand.Reader, big.NewInt(900_000_000))
	if err != nil {
		return nil, fmt.Errorf("pushkitsim: make a sub-account: %w", err)
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails
	file := struct {
		ProjectID           string `json:"project_id"`
		KeyID               string `json:"key_id"`
		PrivateKey          string `json:"private_key"`
		SubAccount          string `json:"sub_account"`
		AuthURI             string `json:"auth_uri"`
		TokenURI            string `json:"token_uri"`
		AuthProviderCertURI string `json:"auth_provider_cert_uri"`
		ClientCertURI       string `json:"client_cert_uri"`
	}{
		ProjectID:  projectID,
		KeyID:      hex.EncodeToString(id[:]),
		PrivateKey: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		SubAccount: fmt.Sprint(100_000_000 + number.Int64()),
		AuthURI:    authURI, TokenURI: TokenURI, AuthProviderCertURI: certURI, ClientCertURI: clientCertURI,
	}
	err = s.editProject(projectID, func(p *project) error {
		return p.addKey(file.SubAccount, file.KeyID, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	})
	if err != nil {
		return nil, fmt.Errorf("pushkitsim: project %q: %w", projectID, err)
	}
	return json.MarshalIndent(file, "", "  ")
}

// takeDevices counts n devices in this second, unless that would pass the
// limit. Fixed seconds of the simulator's clock are an assumption.
func (m *meter) takeDevices(now time.Time, n, limit int) bool {
	if limit == 0 {
		return true
	}
	m.Lock()
	defer m.Unlock()
	if sec := now.Unix(); sec != m.second {
		m.second, m.devices = sec, 0
	}
	if m.devices+int64(n) > int64(limit) {
		return false
	}
	m.devices += int64(n)
	return true
}

// chinaOffset: quotas come back on the next day, taken as a day of China
// Standard Time (assumption).
const chinaOffset = 8 * 3600

// takeTest counts one test request of today; giveTest takes it back, since only
// accepted requests count.
func (m *meter) takeTest(now time.Time, limit int) bool {
	m.Lock()
	defer m.Unlock()
	if day := (now.Unix() + chinaOffset) / 86400; day != m.day {
		m.day, m.tests = day, 0
	}
	if m.tests >= int64(limit) {
		return false
	}
	m.tests++
	return true
}

func (m *meter) giveTest() {
	m.Lock()
	defer m.Unlock()
	if m.tests > 0 {
		m.tests--
	}
}
