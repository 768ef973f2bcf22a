package api

// What the tests reach from outside of the package.
var (
	DecodeInvite       = decodeInvite
	DecodeReports      = decodeReports
	DecodeRegistration = decodeRegistration
	DecodeConfirm      = decodeConfirm
	Defuse             = defuse
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
