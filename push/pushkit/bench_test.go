package pushkit_test

import (
	"testing"

	"github.com/pushwake/relay/push/pushkit"
)

func BenchmarkBuild(b *testing.B) {
	m := message()
	for b.Loop() {
		if _, err := pushkit.Build(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	v := newVendor(b, accept)
	c := newClient(b, v.URL, nil)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			c.Send(b.Context(), message())
		}
	})
}
