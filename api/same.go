package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"hash"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// saidBy is the hash of what a valid JSON text says. Texts that differ only in
// the order of keys, in blanks, or in how they spell numbers and characters have
// the same. Numbers are compared as decimals, to the last digit. Of a key that
// comes twice the last value counts, as it does wherever we read JSON.
func saidBy(body []byte) ([sha256.Size]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return [sha256.Size]byte{}, err
	}
	h := sha256.New()
	hashValue(h, v)
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// hashValue writes a value in a form that no two values share and that depends
// on no library: the hashes are kept, and have to outlive an upgrade.
func hashValue(h hash.Hash, v any) {
	switch v := v.(type) {
	case nil:
		h.Write([]byte("z"))
	case bool:
		h.Write([]byte(map[bool]string{false: "f", true: "t"}[v]))
	case json.Number:
		hashText(h, "n", plainNumber(v.String()))
	case string:
		hashText(h, "s", v)
	case []any:
		h.Write([]byte("["))
		for _, item := range v {
			hashValue(h, item)
		}
		h.Write([]byte("]"))
	case map[string]any:
		h.Write([]byte("{"))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			hashText(h, "s", name)
			hashValue(h, v[name])
		}
		h.Write([]byte("}"))
	}
}

func hashText(h hash.Hash, kind, text string) {
	h.Write([]byte(kind + strconv.Itoa(len(text)) + ":" + text))
}

// plainNumber is the one spelling of a JSON number: its digits without zeros at
// either end, and the power of ten that they are to be multiplied by. 4500, 4.5e3
// and 4500.0 are 45e2.
func plainNumber(text string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		sign, text = "-", rest
	}
	mantissa, power := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, power = text[:i], text[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0" // whatever its sign and power
	}
	exponent := new(big.Int) // of a power that a client may write with thousands of digits
	if power != "" {
		exponent.SetString(power, 10)
	}
	significant := strings.TrimRight(digits, "0")
	exponent.Add(exponent, big.NewInt(int64(len(digits)-len(significant)-len(fraction))))
	return sign + significant + "e" + exponent.String()
}
