package store

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// ErrNoMasterKey means that the program was started without a master key.
var ErrNoMasterKey = errors.New("no master key is configured")

// MasterKeyBytes is the length of a master key.
const MasterKeyBytes = 32

// seal encrypts with AES-256-GCM under the first key. The names of the app and
// vendor are authenticated with it, so that a row copied to another app does
// not decrypt.
func seal(keys [][]byte, secret []byte, name ...string) ([]byte, error) {
	if len(keys) == 0 {
		return nil, ErrNoMasterKey
	}
	aead, err := sealer(keys[0])
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, secret, label(name)), nil
}

// unseal decrypts what seal made, with the first key that fits.
func unseal(keys [][]byte, sealed []byte, name ...string) ([]byte, error) {
	if len(keys) == 0 {
		return nil, ErrNoMasterKey
	}
	for _, key := range keys {
		aead, err := sealer(key)
		if err != nil {
			return nil, err
		}
		if secret, err := aead.Open(nil, nil, sealed, label(name)); err == nil {
			return secret, nil
		}
	}
	return nil, ErrWrongMasterKey
}

func sealer(key []byte) (cipher.AEAD, error) {
	if len(key) != MasterKeyBytes {
		return nil, fmt.Errorf("a master key has %d bytes, not %d", MasterKeyBytes, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func label(name []string) []byte { return fmt.Appendf(nil, "%q", name) }
