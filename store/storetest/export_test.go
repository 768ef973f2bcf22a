package storetest

// Promises are what Broken looks for.
func Promises() (all []string) {
	for _, p := range promises {
		all = append(all, p.what)
	}
	return all
}
