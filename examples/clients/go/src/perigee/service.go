package perigee

import (
	"errors"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

var (
	// ErrNoService: there is no such service (yet).
	ErrNoService = errors.New("perigee: no such service")
	// ErrNothing: the service has nothing to pick.
	ErrNothing = errors.New("perigee: nothing to pick")
	// ErrNoPort: the endpoint that was picked has no port of the name asked for.
	ErrNoPort = errors.New("perigee: no port of that name")
	errMoved  = errors.New("perigee: a newer file is at the path")
)

const (
	tries = 3
	moved = ^uint64(0) // a newer file is at the path
	look  = time.Second

	entryFutex = 16
)

// A Catalog is the agent's file, followed from one agent to the next.
type Catalog struct {
	path string
	lock sync.Mutex
	file *file
	once sync.Once
	page atomic.Pointer[page] // nil: nothing is counted (yet)
}

// countsOn is the page of this process, made when the first call is to be reported.
func (c *Catalog) countsOn() *page {
	c.once.Do(func() { c.page.Store(makePage()) })
	return c.page.Load()
}

// Open maps the catalog in a run directory; "" is where the C library would look.
func Open(dir string) (*Catalog, error) {
	if dir == "" {
		dir = runDir()
	}
	c := &Catalog{path: filepath.Join(dir, "catalog")}
	f, err := openFile(c.path)
	c.file = f
	return c, err
}

// follow gives the newest file that can be read; `old` is one that is the newest no more, or nil.
func (c *Catalog) follow(old *file) *file {
	c.lock.Lock()
	defer c.lock.Unlock()
	if old != nil && c.file == old {
		if f, err := openFile(c.path); err == nil {
			c.file = f
		}
	}
	return c.file
}

// replaced says that another file is at the path, which is a system call.
func (c *Catalog) replaced(f *file) bool {
	info, err := os.Stat(c.path)
	return err == nil && !os.SameFile(info, f.info)
}

// A Service is picked from by any number of goroutines.
type Service struct {
	catalog  *Catalog
	name     string
	turn     uint32
	inFlight uint32 // this process's calls,
	retries  uint32 // and those of them that are retries
	snapshot atomic.Pointer[snapshot]
}

// Service is also for one that is not there yet.
func (c *Catalog) Service(name string) *Service {
	return &Service{catalog: c, name: name, turn: rand.Uint32()}
}

// find reads the service's snapshot from one file.
func (s *Service) find(f *file) (*snapshot, error) {
	entry, err := f.entry(s.name)
	if err != nil {
		return nil, err
	}
	current := uint64(0)
	if entry != 0 {
		current = f.load64(entry)
	}
	switch {
	case current == moved, current == 0 && f.load32(headerRetired) != 0:
		return nil, errMoved
	case current == 0:
		return nil, ErrNoService
	}
	return openSnapshot(f, entry, current)
}

// refresh finds the newest snapshot in the newest file.
func (s *Service) refresh() (*snapshot, error) {
	f := s.catalog.follow(nil)
	for try := 0; try < tries; try++ {
		v, err := s.find(f)
		switch err {
		case nil:
			s.snapshot.Store(v)
			return v, nil
		case errMoved:
			f = s.catalog.follow(f)
		case ErrAgain:
		default:
			return nil, err
		}
	}
	return nil, ErrAgain
}

// latest is the snapshot that is current now.
func (s *Service) latest() (*snapshot, error) {
	if v := s.snapshot.Load(); v != nil && v.isCurrent() {
		return v, nil
	}
	return s.refresh()
}

// Pick chooses the next endpoint: no lock and no system call, but once after the agent was replaced.
func (s *Service) Pick(options ...Option) (Endpoint, error) {
	a := ask{turn: atomic.AddUint32(&s.turn, 1), own: s.catalog.page.Load()}
	for _, option := range options {
		option(&a)
	}
	for try := 0; try < tries; try++ {
		v, err := s.latest()
		if err != nil {
			return Endpoint{}, err
		}
		if v.pickable == 0 {
			return Endpoint{}, ErrNothing
		}
		e, err := v.pick(&a)
		if err != ErrAgain {
			return e, err
		}
		s.snapshot.CompareAndSwap(v, nil)
	}
	return Endpoint{}, ErrAgain
}

// List gives all that picks choose among, or would if others were ejected or in a level that failed,
// and their version: that does not move with the former.
func (s *Service) List() ([]Endpoint, uint64, error) {
	v, err := s.latest()
	if err != nil {
		return nil, 0, err
	}
	count := v.pickable
	if v.healthy > count {
		count = v.healthy
	}
	endpoints := make([]Endpoint, count)
	for row := range endpoints {
		if endpoints[row], err = v.endpoint(uint64(row), ""); err != nil {
			s.snapshot.CompareAndSwap(v, nil)
			return nil, 0, err
		}
	}
	return endpoints, v.version, nil
}

// Wait sleeps until the service's version is not `version` any more, at most a second: then, or
// after a new agent, it is time to look again. Whether it moved is for the caller to find out, by
// List. 0 is the version of a service that is not there.
func (s *Service) Wait(version uint64) {
	f := s.catalog.follow(nil)
	services := f.load32(headerDirectory)
	v, err := s.latest()
	switch {
	case err != nil:
		f.sleep(headerDirectory, services)
	case v.version != version:
		return
	default:
		f = v.file
		f.sleep(v.entry+entryFutex, uint32(version))
	}
	s.lookAgain(f)
}

// lookAgain moves on to a file that took this one's place without a word, as after a crash.
func (s *Service) lookAgain(f *file) {
	if s.catalog.replaced(f) {
		s.catalog.follow(f)
		s.snapshot.Store(nil)
	}
}

// sleep is FUTEX_WAIT, which works on a read-only mapping that another process writes.
func (f *file) sleep(at uint64, value uint32) {
	patience := syscall.NsecToTimespec(int64(look))
	syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(&f.bytes[at])), 0, uintptr(value),
		uintptr(unsafe.Pointer(&patience)), 0, 0)
	runtime.KeepAlive(f)
}
