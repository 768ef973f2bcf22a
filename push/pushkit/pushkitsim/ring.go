package pushkitsim

// ring is a queue that forgets from its front. Its memory follows its length.
type ring[T any] struct {
	items []T
	head  int
}

func (r *ring[T]) len() int   { return len(r.items) - r.head }
func (r *ring[T]) all() []T   { return r.items[r.head:] }
func (r *ring[T]) add(v T)    { r.items = append(r.items, v) }
func (r *ring[T]) at(i int) T { return r.items[r.head+i] }

func (r *ring[T]) pop() T {
	var zero T
	v := r.items[r.head]
	r.items[r.head] = zero
	r.head++
	// Moving costs as much as what was popped since the last move.
	if r.head > 64 && r.head*2 > len(r.items) {
		n := copy(r.items, r.items[r.head:])
		clear(r.items[n:])
		r.items, r.head = r.items[:n], 0
	}
	return v
}

func (r *ring[T]) clear() { r.items, r.head = nil, 0 }
