package perigee

import (
	"encoding/binary"
	"math/bits"
)

// What runtime/select/ does with a key: its hash finds a group of rows, and a cell of the group's
// table, which says the row.

// A group is a range of rows of one tier, and its table.
type group struct{ first, count, table, length uint64 }

// groupAt: what is damaged becomes all rows that can be picked, without a table.
func (s *snapshot) groupAt(i uint64) group {
	if i < s.groupCount {
		at := s.groups + i*groupSize
		g := group{s.word32(at), s.word32(at + 4), s.word32(at + 12), s.word32(at + 16)}
		if g.count > 0 && g.first+g.count <= s.count && g.table%8 == 0 && g.table+g.length <= s.bytes {
			return g
		}
	}
	return group{count: s.pickable}
}

func (s *snapshot) groupOfKey(key uint64) group {
	i := uint64(0)
	if s.top != 0 {
		at := mix(key) >> 32
		for i+1 < s.groupCount && at > s.word32(s.groups+i*groupSize+24) {
			i++
		}
	}
	return s.groupAt(i)
}

func (s *snapshot) chooseByKey(key uint64) uint64 {
	g := s.groupOfKey(key)
	width := uint64(2)
	if g.count > 1<<16 {
		width = 4
	}
	cells := g.length / width
	if cells < g.count {
		return g.first + below(key, g.count)
	}
	at := g.table + below(key, cells)*width
	if width == 4 {
		return g.first + s.word32(at)
	}
	return g.first + s.word16(at)
}

// keyBits: what a pick goes by, the n-th time that it was given what it avoids.
func keyBits(hash uint64, attempt uint32) uint64 {
	return mix(hash + (uint64(attempt)+1)*0x9e3779b97f4a7c15)
}

// mix is SplitMix64's last step.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

const (
	prime1 uint64 = 0x9E3779B185EBCA87
	prime2 uint64 = 0xC2B2AE3D27D4EB4F
	prime3 uint64 = 0x165667B19E3779F9
	prime4 uint64 = 0x85EBCA77C2B2AE63
	prime5 uint64 = 0x27D4EB2F165667C5
)

// keyHash is XXH64 with seed 0.
func keyHash(key string) uint64 {
	b := []byte(key)
	hash := prime5
	if len(b) >= 32 {
		hash, b = stripes(b)
	}
	hash += uint64(len(key))
	for ; len(b) >= 8; b = b[8:] {
		hash = bits.RotateLeft64(hash^take(0, binary.LittleEndian.Uint64(b)), 27)*prime1 + prime4
	}
	if len(b) >= 4 {
		hash = bits.RotateLeft64(hash^uint64(binary.LittleEndian.Uint32(b))*prime1, 23)*prime2 + prime3
		b = b[4:]
	}
	for _, c := range b {
		hash = bits.RotateLeft64(hash^uint64(c)*prime5, 11) * prime1
	}
	hash = (hash ^ hash>>33) * prime2
	hash = (hash ^ hash>>29) * prime3
	return hash ^ hash>>32
}

func take(lane, word uint64) uint64 {
	return bits.RotateLeft64(lane+word*prime2, 31) * prime1
}

// stripes takes 32 bytes at a time, and gives what is left.
func stripes(b []byte) (uint64, []byte) {
	one, two := prime1, prime2 // variables: these sums go over the end on purpose
	lanes := [4]uint64{one + two, two, 0, -one}
	for ; len(b) >= 32; b = b[32:] {
		for i := range lanes {
			lanes[i] = take(lanes[i], binary.LittleEndian.Uint64(b[i*8:]))
		}
	}
	hash := bits.RotateLeft64(lanes[0], 1) + bits.RotateLeft64(lanes[1], 7) +
		bits.RotateLeft64(lanes[2], 12) + bits.RotateLeft64(lanes[3], 18)
	for _, lane := range lanes {
		hash = (hash^take(0, lane))*prime1 + prime4
	}
	return hash, b
}
