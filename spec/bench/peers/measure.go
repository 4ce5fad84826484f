// What the peers' programs share: an operation, timed on one thread and on two at once, of which the
// least of some runs counts. A line each for spec/bench/peers.lua, fields between tabs: name, ns on
// one thread, ns with two (wall time over the operations of both), allocations an operation.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

const (
	endpoints = 10
	runs      = 7
)

// Operations in a row, in one goroutine; what they find is used, so that none is left out.
type operation func(count int) (used int)

var sink int

func wall(threads, count int, run operation) float64 {
	var done sync.WaitGroup
	used := make([]int, threads)
	begun := time.Now()
	for i := range used {
		done.Add(1)
		go func(i int) {
			defer done.Done()
			used[i] = run(count)
		}(i)
	}
	done.Wait()
	took := time.Since(begun)
	for _, n := range used {
		sink += n
	}
	return float64(took.Nanoseconds()) / float64(threads*count)
}

func measure(name string, count int, run operation) {
	var least [2]float64
	var before, after runtime.MemStats
	for i := range least {
		runtime.GOMAXPROCS(i + 1)
		for n := 0; n < runs; n++ {
			if ns := wall(i+1, count, run); n == 0 || ns < least[i] {
				least[i] = ns
			}
		}
	}
	runtime.ReadMemStats(&before)
	sink += run(count)
	runtime.ReadMemStats(&after)
	fmt.Printf("%s\t%.2f\t%.2f\t%.2f\n", name, least[0], least[1],
		float64(after.Mallocs-before.Mallocs)/float64(count))
}
