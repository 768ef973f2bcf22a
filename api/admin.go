package api

import (
	"net/http"

	"github.com/pushwake/relay/call"
)

// renderForAdmin is a call with the app that it belongs to.
func renderForAdmin(c call.Call) callJSON {
	out := renderCall(c)
	out.AppID = c.AppID
	return out
}

// adminListCalls is GET /v1/admin/calls: the history over all apps.
func (s *server) adminListCalls(w http.ResponseWriter, r *http.Request, _ Admin) error {
	q := queryOf(r)
	f, err := q.page(q.text("app_id"))
	if err != nil {
		return err
	}
	return s.history(w, r, f, renderForAdmin)
}

// adminGetCall is GET /v1/admin/calls/{call_id}.
func (s *server) adminGetCall(w http.ResponseWriter, r *http.Request, _ Admin) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := queryOf(r).done(); err != nil {
		return err
	}
	c, err := s.Store.Call(r.Context(), "", id)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, renderForAdmin(c))
}

// adminGetTimeline is GET /v1/admin/calls/{call_id}/timeline.
func (s *server) adminGetTimeline(w http.ResponseWriter, r *http.Request, _ Admin) error {
	return s.timeline(w, r, "", renderForAdmin)
}
