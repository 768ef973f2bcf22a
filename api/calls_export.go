package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/pushwake/relay/store"
)

// exportFormat is a way to write the history.
type exportFormat struct {
	name        string // the value of the parameter format, and the file's extension
	mediaType   string // as Accept names it
	contentType string
	// begin writes what stands before the calls, and returns what writes a call.
	begin func(w io.Writer, o exportOptions) (write func(callJSON) error, err error)
}

// exportOptions are what an export may have or not.
type exportOptions struct {
	admin bool // calls tell their app
	bom   bool // a table begins with a byte order mark
}

// exportFormats lists the formats, the default first.
var exportFormats = []exportFormat{
	{"ndjson", "application/x-ndjson", "application/x-ndjson", beginLines},
	{"csv", "text/csv", "text/csv; charset=utf-8; header=present", beginTable},
}

// exportTypes are the media types of the formats.
var exportTypes = []string{exportFormats[0].mediaType, exportFormats[1].mediaType}

// exportPage is how many calls are in memory at a time.
const exportPage = 200

// exportFormat reads the parameter format. Where it is absent, Accept chooses.
func (q *query) exportFormat(r *http.Request) (exportFormat, error) {
	name := q.text("format")
	i := slices.IndexFunc(exportFormats, func(f exportFormat) bool {
		return f.name == name || name == "" && accepts(r, f.mediaType)
	})
	if i < 0 {
		q.fail("format", "must be one of ndjson, csv")
	}
	if err := q.done(); err != nil {
		return exportFormat{}, err
	}
	f := exportFormats[i]
	return f, acceptable(r, []string{f.mediaType})
}

// exportCalls is GET /v1/calls/export: the history as a stream.
func (s *server) exportCalls(w http.ResponseWriter, r *http.Request, p Backend) error {
	q := queryOf(r)
	return s.export(w, r, q, q.filter(p.AppID), false)
}

// adminExportCalls is GET /v1/admin/calls/export: the history over all apps, as
// a stream.
func (s *server) adminExportCalls(w http.ResponseWriter, r *http.Request, _ Admin) error {
	q := queryOf(r)
	return s.export(w, r, q, q.filter(q.text("app_id")), true)
}

// export streams the calls that a filter selects, page by page: one page is in
// memory, and no database connection is held while the client reads.
func (s *server) export(w http.ResponseWriter, r *http.Request, q *query, f store.Filter, admin bool) error {
	options := exportOptions{admin: admin, bom: q.flag("bom", true)}
	format, err := q.exportFormat(r)
	if err != nil {
		return err
	}
	render := renderCall
	if admin {
		render = renderForAdmin
	}
	var page bytes.Buffer
	write, err := format.begin(&page, options)
	if err != nil {
		return err
	}
	out := s.stream(w, func(h http.Header) {
		h.Set("Content-Type", format.contentType)
		h.Set("Content-Disposition", `attachment; filename="calls-`+s.Store.Now().Format("20060102T150405Z")+`.`+format.name+`"`)
	})
	if r.Method == http.MethodHead { // no call has to be read for the headers
		return out.send(nil)
	}
	f.Limit = exportPage
	for calls, err := range s.Store.CallPages(r.Context(), f) {
		if err != nil {
			return err
		}
		for _, c := range calls {
			if err := write(render(c)); err != nil {
				return err
			}
		}
		if err := out.send(page.Bytes()); err != nil {
			return err
		}
		requestOf(r.Context()).calls += len(calls)
		page.Reset()
	}
	return out.send(page.Bytes()) // without any call, write what comes before them
}

// beginLines writes a line of JSON for each call, as the list has it.
func beginLines(w io.Writer, _ exportOptions) (func(callJSON) error, error) {
	lines := json.NewEncoder(w)
	return func(c callJSON) error { return lines.Encode(c) }, nil
}
