package perigee

import (
	"encoding/binary"
	"math/rand"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

// An agent's catalog, with a few of its words replaced: whatever is there, it is an answer or an
// error, and never a read outside of the file. PERIGEE_RUN_DIR has the catalog to begin with.
func TestDamage(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(runDir(), "catalog"))
	if err != nil {
		t.Skip("no catalog: ", err)
	}
	path := filepath.Join(t.TempDir(), "catalog")
	if err := os.WriteFile(path, whole, 0600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	words := wordsInUse(whole)
	random := rand.New(rand.NewSource(1))
	good := 0
	for round := 0; round < 5000; round++ {
		places := make([]int64, 1+random.Intn(4))
		for i := range places {
			places[i] = words[random.Intn(len(words))]
			damaged := [4]byte{}
			binary.LittleEndian.PutUint32(damaged[:], value(random))
			file.WriteAt(damaged[:], places[i])
		}
		if use(t, filepath.Dir(path)) {
			good++
		}
		for _, at := range places {
			file.WriteAt(whole[at:at+4], at)
		}
	}
	if !use(t, filepath.Dir(path)) {
		t.Fatal("the whole catalog has nothing to pick")
	}
	if good == 0 || good == 5000 {
		t.Fatalf("%d of 5000 damaged catalogs could be used: that is not damage", good)
	}
}

// wordsInUse are the places of the words that are not 0, behind the header's frozen ones.
func wordsInUse(whole []byte) []int64 {
	words := []int64{}
	for at := 64; at < len(whole); at += 4 {
		if binary.LittleEndian.Uint32(whole[at:]) != 0 {
			words = append(words, int64(at))
		}
	}
	return words
}

// value is small, large or anything, because ends of ranges are where mistakes are.
func value(random *rand.Rand) uint32 {
	switch random.Intn(4) {
	case 0:
		return random.Uint32()
	case 1:
		return ^uint32(random.Intn(300))
	case 2:
		return uint32(random.Intn(300))
	}
	return uint32(1) << random.Intn(32)
}

// use says whether there was something to pick. Does not panic, which ends the test.
func use(t *testing.T, dir string) bool {
	catalog, err := Open(dir)
	if err != nil {
		return false
	}
	picked := false
	for _, name := range []string{"web", "keyed"} {
		service := catalog.Service(name)
		for i := 0; i < 4; i++ {
			e, err := service.Pick(Key("a key"), Port("admin"))
			picked = picked || err == nil
			service.Pick(Avoid(e))
		}
		service.List()
	}
	return picked
}
