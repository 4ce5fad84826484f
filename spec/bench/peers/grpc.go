// What grpc-go's own pickers cost on this machine, for spec/bench/peers.lua: one line each, "name
// ns-on-one-thread ns-with-two-at-once". Built with Debian's golang-google-grpc-dev.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

const (
	endpoints = 10
	picks     = 2000000
	runs      = 7
)

// A connection that is always ready.
type subConn struct{ balancer.SubConn }

func (*subConn) Connect() {}

// What a balancer thinks it works for: it keeps the picker.
type clientConn struct {
	balancer.ClientConn
	conns  []*subConn
	picker balancer.Picker
}

func (c *clientConn) NewSubConn([]resolver.Address, balancer.NewSubConnOptions) (balancer.SubConn, error) {
	conn := &subConn{}
	c.conns = append(c.conns, conn)
	return conn, nil
}

func (c *clientConn) UpdateState(s balancer.State) { c.picker = s.Picker }

func pickerOf(name string) (balancer.Picker, error) {
	conn := &clientConn{}
	b := balancer.Get(name).Build(conn, balancer.BuildOptions{})
	state := balancer.ClientConnState{}
	for i := 0; i < endpoints; i++ {
		state.ResolverState.Addresses = append(state.ResolverState.Addresses,
			resolver.Address{Addr: fmt.Sprintf("10.0.0.%d:80", i)})
	}
	if err := b.UpdateClientConnState(state); err != nil {
		return nil, err
	}
	for _, sub := range conn.conns {
		b.UpdateSubConnState(sub, balancer.SubConnState{ConnectivityState: connectivity.Ready})
	}
	return conn.picker, nil
}

// Wall time over all picks.
func measure(picker balancer.Picker, threads int) float64 {
	info := balancer.PickInfo{Ctx: context.Background()}
	var done sync.WaitGroup
	begun := time.Now()
	for i := 0; i < threads; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for n := 0; n < picks; n++ {
				if _, err := picker.Pick(info); err != nil {
					panic(err)
				}
			}
		}()
	}
	done.Wait()
	return float64(time.Since(begun).Nanoseconds()) / float64(threads*picks)
}

func main() {
	picker, err := pickerOf("round_robin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var least [2]float64
	for run := 0; run < runs; run++ {
		for i := range least {
			runtime.GOMAXPROCS(i + 1)
			if ns := measure(picker, i+1); run == 0 || ns < least[i] {
				least[i] = ns
			}
		}
	}
	fmt.Printf("grpc-go %s, round robin\t%.2f\t%.2f\n", grpc.Version, least[0], least[1])
}
