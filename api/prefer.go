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

// preferredWait is how long a client would wait for more than the first answer
// (RFC 7240, 4.3), at most mostPreferred; 0 where it does not say. What cannot be
// read is no preference.
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

// afterConfirm waits until a device has confirmed the call or it has ended, for
// so long at most, and returns it as it is then. The call is committed: what
// fails here fails nothing.
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
