package api

import (
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// What the tests reach from outside of the package.
var (
	DecodeInvite       = decodeInvite
	DecodeReports      = decodeReports
	DecodeRegistration = decodeRegistration
	DecodeConfirm      = decodeConfirm
	DecodeDND          = decodeDND
	DecodeReceipts     = decodeReceipts
	Defuse             = defuse
	SaidBy             = saidBy
	EntryTypes         = entryTypes
	Environments       = environments
)

// ErrorCode is the code by which a client is told of an error, and the pointers
// to the fields that were wrong.
func ErrorCode(err error) (Code, []string) {
	p := problemOf(err)
	var pointers []string
	for _, f := range p.Errors {
		pointers = append(pointers, f.Pointer)
	}
	return p.Code, pointers
}

// Told is a call's timeline in words.
type Told struct {
	Summary call.Text
	Legs    []call.Explanation
	Entries []call.Explanation
}

// Tell tells a call's timeline in words.
func Tell(v Vendors, c call.Call, entries []store.Entry) Told {
	n := newNarrator(v, &c, entries)
	told := Told{Summary: n.summary()}
	for i := range c.Legs {
		told.Legs = append(told.Legs, n.leg(&c.Legs[i]))
	}
	for _, e := range entries {
		told.Entries = append(told.Entries, n.entry(e))
	}
	return told
}
