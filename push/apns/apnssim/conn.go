package apnssim

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const maxBody = 64 << 10 // bytes of a request that are read; more resets the stream

// conn is one connection.
type conn struct {
	sim         *Sim
	environment Environment
	nc          net.Conn
	fr          *http2.Framer

	writing sync.Mutex // of frames, and of enc
	enc     *hpack.Encoder
	block   bytes.Buffer

	mu          sync.Mutex
	greeted     bool // its SETTINGS are written: nothing else may come before
	streams     map[uint32]*stream
	last        uint32 // the highest stream that was taken
	limit       uint32
	unconfirmed []uint32 // limits that the client had before settings it has not acknowledged
	keyID       string   // of the first provider token
	bearer      string
	bearerSince time.Time
	goingAway   bool

	frozen chan struct{} // closed by freeze: nothing is read or written from then on
	freeze sync.Once
	gone   chan struct{} // closed when the connection ends
	end    sync.Once
	work   sync.WaitGroup
}

// stream is one request that is being read or answered.
type stream struct {
	request
	id     uint32
	gone   chan struct{} // closed when the client reset it
	resets sync.Once
}

type request struct {
	method, path string
	header       map[string]string
	duplicate    bool // a header came twice
	body         []byte
	at           time.Time
}

func newConn(s *Sim, environment Environment, nc net.Conn) *conn {
	c := &conn{sim: s, environment: environment, nc: nc, streams: map[uint32]*stream{}, frozen: make(chan struct{}), gone: make(chan struct{})}
	c.enc = hpack.NewEncoder(&c.block)
	c.fr = http2.NewFramer(nc, nc)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.MaxHeaderListSize = 64 << 10
	return c
}

// run serves the connection until it ends.
func (c *conn) run() {
	defer func() {
		c.drop()
		c.work.Wait()
		c.sim.mu.Lock()
		delete(c.sim.conns, c)
		c.sim.mu.Unlock()
	}()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.nc, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	c.mu.Lock()
	c.limit = c.sim.streamLimit(1)
	limit := c.limit
	c.unconfirmed = append(c.unconfirmed, limit)
	c.mu.Unlock()
	if c.write(func() error {
		return c.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: limit})
	}) != nil {
		return
	}
	c.mu.Lock()
	c.greeted = true
	c.mu.Unlock()
	for {
		frame, err := c.fr.ReadFrame()
		select {
		case <-c.frozen:
			<-c.gone // a frozen connection says nothing, not even that it ended
			return
		default:
		}
		if bad, ok := err.(http2.StreamError); ok {
			_ = c.write(func() error { return c.fr.WriteRSTStream(bad.StreamID, bad.Code) })
			continue
		}
		if err != nil || c.take(frame) != nil {
			return
		}
	}
}

// take deals with one frame.
func (c *conn) take(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return c.write(c.fr.WriteSettingsAck)
		}
		c.mu.Lock()
		if len(c.unconfirmed) > 0 {
			c.unconfirmed = c.unconfirmed[1:]
		}
		c.mu.Unlock()
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.write(func() error { return c.fr.WritePing(true, f.Data) })
		}
	case *http2.MetaHeadersFrame:
		return c.takeHeaders(f)
	case *http2.DataFrame:
		return c.takeData(f)
	case *http2.RSTStreamFrame:
		c.mu.Lock()
		st := c.streams[f.StreamID]
		delete(c.streams, f.StreamID)
		c.mu.Unlock()
		if st != nil {
			st.resets.Do(func() { close(st.gone) })
		}
	case *http2.GoAwayFrame:
		return io.EOF
	}
	return nil // PRIORITY and WINDOW_UPDATE need nothing: answers are small
}

func (c *conn) takeHeaders(f *http2.MetaHeadersFrame) error {
	st := &stream{id: f.StreamID, gone: make(chan struct{}), request: request{header: map[string]string{}, at: time.Now()}}
	for _, h := range f.Fields {
		switch h.Name {
		case ":method":
			st.method = h.Value
		case ":path":
			st.path = h.Value
		default:
			if _, twice := st.header[h.Name]; twice {
				st.duplicate = true
			}
			st.header[h.Name] = h.Value
		}
	}
	c.mu.Lock()
	allowed := c.limit
	for _, earlier := range c.unconfirmed {
		allowed = max(allowed, earlier)
	}
	if uint32(len(c.streams)) >= allowed || c.goingAway {
		c.mu.Unlock()
		c.sim.countRefused()
		return c.write(func() error { return c.fr.WriteRSTStream(f.StreamID, http2.ErrCodeRefusedStream) })
	}
	c.streams[f.StreamID] = st
	c.last = max(c.last, f.StreamID)
	c.mu.Unlock()
	if f.StreamEnded() {
		c.work.Go(func() { c.serve(st) })
	}
	return nil
}

func (c *conn) takeData(f *http2.DataFrame) error {
	c.mu.Lock()
	st := c.streams[f.StreamID]
	c.mu.Unlock()
	if n := uint32(f.Length); n > 0 { // padding counts too
		err := c.write(func() error {
			if st != nil && !f.StreamEnded() {
				if err := c.fr.WriteWindowUpdate(f.StreamID, n); err != nil {
					return err
				}
			}
			return c.fr.WriteWindowUpdate(0, n)
		})
		if err != nil {
			return err
		}
	}
	if st == nil {
		return nil // of a refused stream
	}
	st.body = append(st.body, f.Data()...)
	if len(st.body) > maxBody {
		return c.reset(st, http2.ErrCodeEnhanceYourCalm)
	}
	if f.StreamEnded() {
		c.work.Go(func() { c.serve(st) })
	}
	return nil
}

// write writes frames, one caller at a time; on a frozen connection it blocks.
func (c *conn) write(frames func() error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	select {
	case <-c.frozen:
		<-c.gone
		return io.EOF
	default:
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(10 * time.Second)) // a client that reads nothing ends
	return frames()
}

// reset ends a stream without an answer.
func (c *conn) reset(st *stream, code http2.ErrCode) error {
	c.forget(st)
	return c.write(func() error { return c.fr.WriteRSTStream(st.id, code) })
}

func (c *conn) forget(st *stream) {
	c.mu.Lock()
	delete(c.streams, st.id)
	c.mu.Unlock()
}

// answer ends a stream with an answer, and then the connection if it is going
// away and this was the last one.
func (c *conn) answer(st *stream, status string, header [][2]string, body []byte) {
	select {
	case <-st.gone:
		return
	default:
	}
	c.forget(st)
	_ = c.write(func() error { // a connection that ended needs no answer
		c.block.Reset()
		// RFC 9110, section 6.6.1, asks for Date of whoever has a clock.
		fields := append([][2]string{{":status", status}, {"date", time.Now().UTC().Format(http.TimeFormat)}}, header...)
		for _, f := range fields {
			if err := c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				return err
			}
		}
		h := http2.HeadersFrameParam{StreamID: st.id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: len(body) == 0}
		if err := c.fr.WriteHeaders(h); err != nil || len(body) == 0 {
			return err
		}
		return c.fr.WriteData(st.id, true, body)
	})
	c.mu.Lock()
	done := c.goingAway && len(c.streams) == 0
	c.mu.Unlock()
	if done {
		c.leave()
	}
}

// allow tells the client another limit of streams.
func (c *conn) allow(limit uint32) {
	c.mu.Lock()
	limit = c.sim.streamLimit(limit)
	if limit == c.limit {
		c.mu.Unlock()
		return
	}
	c.unconfirmed = append(c.unconfirmed, c.limit)
	c.limit = limit
	c.mu.Unlock()
	_ = c.write(func() error {
		return c.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: limit})
	})
}

// goAway takes no more streams, and ends the connection when those it has are
// answered. A connection that has not begun is left alone.
func (c *conn) goAway(reason string) {
	c.mu.Lock()
	if !c.greeted || c.goingAway {
		c.mu.Unlock()
		return
	}
	c.goingAway = true
	last, idle := c.last, len(c.streams) == 0
	c.mu.Unlock()
	var debug []byte
	if reason != "" {
		debug = refuse(0, reason).body()
	}
	_ = c.write(func() error { return c.fr.WriteGoAway(last, http2.ErrCodeNo, debug) })
	if idle {
		c.leave()
	}
}

// leave ends a connection that went away, once the client has closed it or has
// had time to: closed with something unread it would be reset, and the GOAWAY
// itself might get lost.
func (c *conn) leave() { time.AfterFunc(c.sim.options.Linger, c.drop) }

// stop freezes the connection: it stays open and silent.
func (c *conn) stop() { c.freeze.Do(func() { close(c.frozen) }) }

// drop closes the connection at once.
func (c *conn) drop() {
	c.end.Do(func() {
		close(c.gone)
		_ = c.nc.Close()
	})
}
