package perigee

import "math/rand"

const (
	// The balancers whose picks are a walk over order[], and those that go by a key; load.go has those
	// that go by load. All others, and these where they cannot, are picked by the alias table, which
	// every block has for those who do not know its balancer.
	roundRobin         = 1
	weightedRoundRobin = 4
	maglev             = 7
	ring               = 8
	rendezvous         = 9
	maglevBounded      = 10

	attempts = 8 // to be given another one than those to avoid
)

// An Option says what one pick minds.
type Option func(*ask)

type ask struct {
	turn  uint32
	keyed bool
	hash  uint64
	port  string
	avoid []Endpoint
	own   *page
}

// Key: where the service's balancer goes by a key, the endpoint is that which every process of the
// host picks for it.
func Key(key string) Option {
	return func(a *ask) { a.keyed, a.hash = true, keyHash(key) }
}

// Port asks for a named port in place of the default one.
func Port(name string) Option {
	return func(a *ask) { a.port = name }
}

// Avoid: none of these, which were tried, as long as there are others. Others are also the healthy
// ones that a pick would not choose among without this, as of a later tier.
func Avoid(tried ...Endpoint) Option {
	return func(a *ask) { a.avoid = tried }
}

// pick chooses as the C library does (runtime/client/pick.c), for a key the very same row.
// pickable > 0.
func (s *snapshot) pick(a *ask) (Endpoint, error) {
	row := s.choose(a, 0)
	for attempt := uint32(1); attempt <= attempts && s.avoided(a, row); attempt++ {
		row = s.choose(a, attempt)
	}
	if s.avoided(a, row) {
		row = s.another(a, row)
	}
	return s.endpoint(row, a.port)
}

// choose gives a row, to be compared with the count.
func (s *snapshot) choose(a *ask, attempt uint32) uint64 {
	switch {
	case s.kind == roundRobin || s.kind == weightedRoundRobin:
		return s.word32(s.order + uint64(a.turn+attempt)%s.cycle*4)
	case a.keyed && s.kind >= maglev && s.kind <= maglevBounded:
		return s.chooseByKey(keyBits(a.hash, attempt))
	case (s.kind == leastRequest || s.kind == p2cEWMA) && s.top == 0: // levels and zones keep their shares
		return s.chooseByLoad(a.own)
	}
	return s.draw()
}

// draw gives a row by weight.
func (s *snapshot) draw() uint64 {
	cell := below(rand.Uint64(), s.pickable)
	value := s.word64(s.alias + cell*8)
	if rand.Uint32() < uint32(value) {
		return cell
	}
	return value >> 32
}

func (s *snapshot) avoided(a *ask, row uint64) bool {
	if len(a.avoid) == 0 || row >= s.count {
		return false
	}
	slot, term := s.slotOf(row)
	for _, e := range a.avoid {
		if e.Slot == slot && e.SlotTerm == term {
			return true
		}
	}
	return false
}

// another is any other row that can be picked, else one of the first tier that has another; `last`
// when there is none.
func (s *snapshot) another(a *ask, last uint64) uint64 {
	bits := rand.Uint64()
	if a.keyed {
		bits = mix(a.hash)
	}
	for first, end := uint64(0), s.pickable; first < end; first, end = end, s.endOfTier(end) {
		n := end - first
		skip := below(bits, n)
		for i := uint64(0); i < n; i++ {
			row := first + (skip+i)%n
			if !s.avoided(a, row) && (row < s.pickable || s.weightOf(row) > 0 && !s.ejected(row)) {
				return row
			}
		}
	}
	return last
}

// endOfTier: where the healthy rows of the tier of row `first` end; `first` when it is none of them.
func (s *snapshot) endOfTier(first uint64) uint64 {
	end := first
	for end < s.healthy && s.tierOf(end) == s.tierOf(first) {
		end++
	}
	return end
}

// below is one of 0 to n - 1, by the upper half of 64 bits. n < 2^32.
func below(bits, n uint64) uint64 {
	return (bits >> 32) * n >> 32
}
