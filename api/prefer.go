package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pushwake/relay/call"
)

// mostPreferred is how long the answer to an invitation may be held back.
const mostPreferred = 10 * time.Second

// preferredWait is the wait of the Prefer header (RFC 7240, 4.3), at most
// mostPreferred; 0 where there is none. What cannot be read is no preference.
func preferredWait(r *http.Request) time.Duration {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Prefer"), ","), ",") {
		// A preference without parameters is one of those itself.
		_, params, err := mime.ParseMediaType("prefer;" + strings.TrimSpace(part))
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(params["wait"], 10, 31); err == nil && n > 0 {
			return min(time.Duration(n)*time.Second, mostPreferred)
		}
	}
	return 0
}

// afterConfirm waits, for a limited time, until a device has confirmed the call
// or the call has ended, and returns the call as it is then. The call is
// committed already, so an error here does not fail the request.
func (s *server) afterConfirm(r *http.Request, c call.Call, wait time.Duration) call.Call {
	watch := s.Store.WatchCall(c.AppID, c.ID)
	defer watch.Close()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	read := func() {
		if now, err := s.Store.Call(r.Context(), c.AppID, c.ID); err == nil {
			c = now
		}
	}
	read()
	for c.Live() && !c.Confirmed() {
		select {
		case <-watch.Woken():
			changes := watch.Take()
			for _, now := range changes.Calls {
				c = now
			}
			if changes.Lost {
				read()
			}
		case <-timer.C:
			return c
		case <-s.Draining:
			return c
		case <-r.Context().Done():
			return c
		}
	}
	return c
}
