package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/pushwake/relay/store"
)

const (
	// maxReceipts is how many receipts come at a time at most (Push Kit, message
	// receipts).
	maxReceipts = 100

	// maxReceiptsBody has room for so many, each with a token of a kilobyte.
	maxReceiptsBody = 256 << 10

	// callbackHeader is signed, where the app's receipts are (Push Kit, message
	// receipts).
	callbackHeader = "X-HUAWEI-CALLBACK-ID"

	// latestReceipt is the last time that Postgres and RFC 3339 both can tell,
	// in Unix ms.
	latestReceipt = 253402300799999
)

// takeReceipts is POST /v1/receipts/push-kit/{app_id}: Push Kit tells what became
// of pushes that it had accepted.
func (s *server) takeReceipts(w http.ResponseWriter, r *http.Request) error {
	app := chi.URLParam(r, "app_id")
	if !printable(app) {
		return store.ErrNotFound
	}
	if err := queryOf(r).done(); err != nil {
		return err
	}
	// The signature does not cover the body: it is judged before that is read.
	signed, err := s.Callbacks.CheckCallback(r.Context(), app, strings.Join(r.Header.Values(callbackHeader), ";"))
	if err != nil {
		return err
	}
	s.known(r, "vendor", app)
	body, err := readBodyUpTo(w, r, maxReceiptsBody, errReceiptsTooLarge)
	if err != nil {
		return err
	}
	receipts, err := decodeReceipts(body)
	if err != nil {
		return err
	}
	for i := range receipts {
		receipts[i].Signed, receipts[i].Action = signed, s.Callbacks.ReceiptAction(receipts[i].Result)
	}
	if err := s.Store.TakeReceipts(r.Context(), app, receipts); err != nil {
		return err
	}
	return write(w, http.StatusOK, struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{"0", "success"})
}

// decodeReceipts reads a callback. Its receipts are read loosely: the vendor may
// add fields, and tells of messages that are not relay's. What names no attempt,
// or no result, is passed over, so that it costs the others nothing.
func decodeReceipts(body []byte) (receipts []store.Receipt, err error) {
	f, err := decode(body)
	if err != nil {
		return nil, err
	}
	raw, given := f.take("statuses")
	var statuses []json.RawMessage
	switch {
	case !given:
		return nil, invalid("/statuses", "is required")
	case isNull(raw) || json.Unmarshal(raw, &statuses) != nil || len(statuses) > maxReceipts:
		return nil, invalid("/statuses", fmt.Sprintf("must be an array of at most %d receipts", maxReceipts))
	}
	for _, status := range statuses {
		if r, ok := decodeReceipt(status); ok {
			receipts = append(receipts, r)
		}
	}
	return receipts, nil
}

func decodeReceipt(status []byte) (r store.Receipt, ok bool) {
	var in struct{ BiTag, Token, RequestID, DeliveryStatus json.RawMessage }
	var delivery struct{ Result, Timestamp json.RawMessage }
	if json.Unmarshal(status, &in) != nil || json.Unmarshal(in.DeliveryStatus, &delivery) != nil {
		return r, false
	}
	tag := looseText(in.BiTag)
	if r.Attempt, ok = attemptID(tag); !ok {
		return r, false
	}
	var err error
	if r.Result, err = wholeNumber(bytes.TrimSpace(delivery.Result)); err != nil || r.Result < 0 {
		return r, false
	}
	if ms, err := wholeNumber(bytes.TrimSpace(delivery.Timestamp)); err == nil && ms > 0 && ms <= latestReceipt {
		r.ToldAt = time.UnixMilli(ms).UTC()
	}
	r.Token, r.RequestID = looseText(in.Token), looseText(in.RequestID)
	return r, true
}

// attemptID reads the id of an attempt, as relay writes it.
func attemptID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && len(text) == len(uuid.Nil.String())
}

// longestLoose is how much of a vendor's text is kept, in bytes.
const longestLoose = 1 << 10

// looseText is a string, "" where the JSON is anything else or too long.
func looseText(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil || len(s) > longestLoose {
		return ""
	}
	return s
}
