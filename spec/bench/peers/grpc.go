// grpc-go's round robin, as its channel calls it: through the Picker interface, with a look at the
// connection that is given. Built with measure.go and Debian's golang-google-grpc-dev, whose version
// has no weighted, least request or ring hash balancer yet that another program could use.
package main

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// A connection that is always ready.
type subConn struct {
	balancer.SubConn
	number int
}

func (*subConn) Connect() {}

// What a balancer thinks it works for: it keeps the picker.
type clientConn struct {
	balancer.ClientConn
	conns  []*subConn
	picker balancer.Picker
}

func (c *clientConn) NewSubConn([]resolver.Address, balancer.NewSubConnOptions) (balancer.SubConn, error) {
	conn := &subConn{number: len(c.conns)}
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

func main() {
	picker, err := pickerOf("round_robin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	info := balancer.PickInfo{Ctx: context.Background()}
	measure("grpc-go "+grpc.Version+", round robin", 2000000, func(count int) (used int) {
		for i := 0; i < count; i++ {
			result, err := picker.Pick(info)
			if err != nil {
				panic(err)
			}
			used += result.SubConn.(*subConn).number
		}
		return used
	})
}
