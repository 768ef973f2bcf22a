package api

import (
	"net/http"
	"regexp"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// webhookJSON is an endpoint of a backend.
type webhookJSON struct {
	ID             uuid.UUID             `json:"id"`
	URL            string                `json:"url"`
	Types          []call.EventType      `json:"types"` // null for all
	Description    string                `json:"description"`
	Status         store.WebhookStatus   `json:"status"`
	DisabledReason *store.DisabledReason `json:"disabled_reason"`
	DisabledAt     moment                `json:"disabled_at"`
	FailingSince   moment                `json:"failing_since"`
	Secret         string                `json:"secret,omitempty"` // once, when it is made
	CreatedAt      moment                `json:"created_at"`
	UpdatedAt      moment                `json:"updated_at"`
}

func renderWebhook(w store.Webhook) webhookJSON {
	return webhookJSON{
		ID: w.ID, URL: w.URL, Types: w.Types, Description: w.Description, Status: w.Status, DisabledReason: orNull(w.DisabledReason),
		DisabledAt: moment(w.DisabledAt), FailingSince: moment(w.FailingSince), CreatedAt: moment(w.CreatedAt), UpdatedAt: moment(w.UpdatedAt),
	}
}

// listWebhooks is GET /v1/webhooks. An app has so few that they are one page.
func (s *server) listWebhooks(w http.ResponseWriter, r *http.Request, p Backend) error {
	if err := queryOf(r).done(); err != nil {
		return err
	}
	all, err := s.Store.Webhooks(r.Context(), p.AppID)
	if err != nil {
		return err
	}
	out := listJSON[webhookJSON]{Data: make([]webhookJSON, len(all))}
	for i, one := range all {
		out.Data[i] = renderWebhook(one)
	}
	return write(w, http.StatusOK, out)
}

// createWebhook is POST /v1/webhooks.
func (s *server) createWebhook(w http.ResponseWriter, r *http.Request, p Backend) error {
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	f, err := decode(body)
	if err != nil {
		return err
	}
	hook := store.Webhook{AppID: p.AppID, URL: s.webhookURL(f), Types: eventTypes(f), Description: f.text("description", 0, maxDescription)}
	if err := f.done(); err != nil {
		return err
	}
	made, secret, err := s.Store.CreateWebhook(r.Context(), hook)
	if err != nil {
		return err
	}
	out := renderWebhook(made)
	out.Secret = secret
	return write(w, http.StatusCreated, out)
}

const (
	maxURL         = 2048
	maxDescription = 256
)

// webhookForm is the form of an endpoint's URL: without a user and a fragment.
var webhookForm = regexp.MustCompile(`^https?://[^/?#@\s]+([/?][^#\s]*)?$`)

func (s *server) webhookURL(f *fields) string {
	url := f.text("url", 1, maxURL)
	if url == "" {
		return ""
	}
	if !webhookForm.MatchString(url) {
		f.complain("url", "must be an address such as https://example.com/hooks, without a user and a fragment")
		return ""
	}
	if err := s.CheckWebhookURL(url); err != nil {
		f.complain("url", "%s", err.Error())
	}
	return url
}

// eventTypes reads the types that an endpoint wants; nil, for all of them, where
// they are absent or null.
func eventTypes(f *fields) []call.EventType {
	if raw, given := f.raw["types"]; given && isNull(raw) {
		f.asked = append(f.asked, "types")
		return nil
	}
	types := choices(f, "types", call.EventTypes)
	if _, given := f.raw["types"]; given && types != nil && len(types) == 0 {
		f.complain("types", "must name a type; leave it out for all of them")
	}
	return types
}

// getWebhook is GET /v1/webhooks/{webhook_id}.
func (s *server) getWebhook(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathUUID(r, "webhook_id")
	if err != nil {
		return err
	}
	if err := queryOf(r).done(); err != nil {
		return err
	}
	hook, err := s.Store.Webhook(r.Context(), p.AppID, id)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, renderWebhook(hook))
}

// changeWebhook is PATCH /v1/webhooks/{webhook_id}: a JSON Merge Patch (RFC 7396).
func (s *server) changeWebhook(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathUUID(r, "webhook_id")
	if err != nil {
		return err
	}
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	f, err := decode(body)
	if err != nil {
		return err
	}
	var change store.WebhookChange
	if _, given := f.raw["url"]; given {
		url := s.webhookURL(f)
		change.URL = &url
	}
	if _, given := f.raw["types"]; given {
		types := eventTypes(f)
		change.Types = &types
	}
	if raw, given := f.raw["description"]; given {
		description := ""
		if isNull(raw) {
			f.asked = append(f.asked, "description")
		} else {
			description = f.text("description", 0, maxDescription)
		}
		change.Description = &description
	}
	if status := optional(f, "status", store.WebhookStatuses); status != "" {
		change.Status = &status
	}
	if err := f.done(); err != nil {
		return err
	}
	hook, err := s.Store.ChangeWebhook(r.Context(), p.AppID, id, change)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, renderWebhook(hook))
}

// deleteWebhook is DELETE /v1/webhooks/{webhook_id}.
func (s *server) deleteWebhook(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathUUID(r, "webhook_id")
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	if err := s.Store.DeleteWebhook(r.Context(), p.AppID, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// rotateWebhookSecret is POST /v1/webhooks/{webhook_id}/rotate-secret.
func (s *server) rotateWebhookSecret(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathUUID(r, "webhook_id")
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	secret, oldEnd, err := s.Store.RotateWebhookSecret(r.Context(), p.AppID, id)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, struct {
		Secret           string `json:"secret"`
		OldSecretExpires moment `json:"old_secret_expires_at"`
	}{secret, moment(oldEnd)})
}
