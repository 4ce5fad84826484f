// Package perigee picks endpoints from the catalog of the perigee agent on this host. It maps the
// agent's file itself, without cgo and without a call to the agent: runtime/catalog/LAYOUT.md draws
// what is read here. Linux, on machines whose byte order is little-endian.
//
//	catalog, err := perigee.Open("")
//	web := catalog.Service("web")
//	endpoint, err := web.Pick()
//
// All of it may be used by any number of goroutines.
package perigee

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	granule  = 4096
	step     = 4 << 20
	reserve  = 4 << 30 // address space: what the file grows by is seen in it
	chunk    = 1024    // items a chunk
	chunks   = 1024    // chunks a map
	firstUse = 4       // granules before the arena
	layout   = 1

	epochs    = 1 // granules of the maps
	directory = 3

	headerRetired   = 12
	headerSize      = 16
	headerDirectory = 64 // a futex
	headerEntries   = 68
	headerIndex     = 72
)

var (
	// ErrDamaged: the file is not a catalog, or not of a layout that this package knows.
	ErrDamaged = errors.New("perigee: the catalog is damaged or of an unknown layout")
	// ErrAgain: the agent was faster three times over; call again.
	ErrAgain = errors.New("perigee: the snapshot was replaced while it was read")
)

// A file is one mapped catalog. Nobody closes it: it is unmapped when nothing refers to it.
type file struct {
	bytes []byte
	info  os.FileInfo
}

func openFile(path string) (*file, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	opened := os.NewFile(uintptr(fd), path)
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return nil, err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner != 0 && int(owner) != os.Geteuid() {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EPERM}
	}
	if !info.Mode().IsRegular() || info.Size() < step {
		return nil, ErrDamaged
	}
	bytes, err := syscall.Mmap(fd, 0, reserve, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: path, Err: err}
	}
	f := &file{bytes: bytes, info: info}
	runtime.SetFinalizer(f, func(f *file) { syscall.Munmap(f.bytes) })
	size := f.load64(headerSize)
	if string(bytes[:8]) != "perigee\x00" || f.load32(8) != layout || size < step || size > uint64(info.Size()) {
		return nil, ErrDamaged
	}
	return f, nil
}

// Go's atomic loads are sequentially consistent: acquire loads with all the fences that the layout
// asks for. Offsets are checked by the callers, because beyond the file's end lies a SIGBUS.
func (f *file) load32(at uint64) uint32 {
	value := atomic.LoadUint32((*uint32)(unsafe.Pointer(&f.bytes[at : at+4][0])))
	runtime.KeepAlive(f)
	return value
}

func (f *file) load64(at uint64) uint64 {
	value := atomic.LoadUint64((*uint64)(unsafe.Pointer(&f.bytes[at : at+8][0])))
	runtime.KeepAlive(f)
	return value
}

// limit is how many bytes may be touched now.
func (f *file) limit() uint64 {
	if size := f.load64(headerSize); size < reserve {
		return size
	}
	return reserve
}

// item finds an item of one of the maps: its offset, or 0 when it is not there.
func (f *file) item(table, i, size uint64) uint64 {
	if i >= chunk*chunks {
		return 0
	}
	at := uint64(f.load32(table*granule + i/chunk*4))
	if at < firstUse {
		return 0
	}
	at = at*granule + i%chunk*size
	if at+size > f.limit() {
		return 0
	}
	return at
}

// A block is what a `current` word names: where it begins, what is left of the file from there on,
// and how to find out that it has been reused.
type block struct {
	at, room, epochAt uint64
	epoch             uint32
}

func (f *file) block(current uint64) (block, error) {
	number := current & 0xffffffff
	b := block{at: number * granule, epochAt: f.item(epochs, number, 4), epoch: uint32(current >> 32)}
	if number < firstUse || b.epochAt == 0 || b.at >= f.limit() {
		return b, ErrDamaged
	}
	b.room = f.limit() - b.at
	return b, nil
}

// holds says that what was read of the block up to now was the block.
func (f *file) holds(b block) bool {
	return f.load32(b.epochAt) == b.epoch
}

// text copies bytes, word by word.
func (f *file) text(at, length uint64) string {
	text := make([]byte, 0, length+8)
	for word := at &^ 7; word < at+length; word += 8 {
		value := f.load64(word)
		for i := uint64(0); i < 8; i++ {
			if word+i >= at && word+i < at+length {
				text = append(text, byte(value>>(8*i)))
			}
		}
	}
	return string(text)
}

// entry finds a service in the name index: the offset of its directory entry, or 0.
func (f *file) entry(name string) (uint64, error) {
	for try := 0; try < tries; try++ {
		current := f.load64(headerIndex)
		if current == 0 {
			return 0, nil
		}
		index, err := f.block(current)
		if err != nil {
			return 0, err
		}
		found := f.probe(index, name)
		if f.holds(index) {
			return found, nil
		}
	}
	return 0, ErrAgain
}

func (f *file) probe(index block, name string) uint64 {
	cells := uint64(f.load32(index.at + 8))
	if cells == 0 || cells&(cells-1) != 0 || 64+cells*8 > index.room {
		return 0
	}
	hash := nameHash(name)
	for i := uint64(0); i < cells; i++ {
		cell := f.load64(index.at + 64 + (uint64(hash)+i)&(cells-1)*8)
		if cell == 0 {
			return 0
		}
		number := uint64(uint32(cell)) - 1
		if uint32(cell>>32) != hash || number >= uint64(f.load32(headerEntries)) {
			continue
		}
		entry := f.item(directory, number, 64)
		if entry != 0 && f.nameOf(entry) == name {
			return entry
		}
	}
	return 0
}

func (f *file) nameOf(entry uint64) string {
	length, at := uint64(f.load32(entry+20)), uint64(f.load32(entry+24))
	if length > 255 || at < granule || at+length+8 > f.limit() {
		return ""
	}
	return f.text(at, length)
}

// nameHash is FNV-1a, folded to 32 bits.
func nameHash(name string) uint32 {
	h := uint64(0xcbf29ce484222325)
	for i := 0; i < len(name); i++ {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return uint32(h ^ h>>32)
}

// runDir is perigee_run_dir of the C library.
func runDir() string {
	if dir := os.Getenv("PERIGEE_RUN_DIR"); dir != "" {
		return dir
	}
	own := []string{filepath.Join("/tmp", "perigee-"+strconv.Itoa(os.Geteuid()))}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		own = append([]string{filepath.Join(dir, "perigee")}, own...)
	}
	for _, dir := range own {
		if _, err := os.Stat(filepath.Join(dir, "catalog")); err == nil {
			return dir
		}
	}
	return "/run/perigee"
}
