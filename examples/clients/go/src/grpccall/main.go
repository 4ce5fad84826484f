// grpccall SERVICE [CALLS-A-SECOND [KEY]]: asks a gRPC service for its health, over and over. Which
// endpoint is asked, of those that perigee:///SERVICE resolves to, perigee's balancer says; by a key,
// if one is given.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"perigee/resolver"
)

func call(ctx context.Context, client grpc_health_v1.HealthClient) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var who peer.Peer
	answer, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Peer(&who))
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	fmt.Println("ok", who.Addr, answer.Status)
}

func main() {
	rate := 10.0
	if len(os.Args) > 2 {
		rate, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	if len(os.Args) < 2 || len(os.Args) > 4 || rate < 0.1 || rate > 1000 {
		fmt.Fprintln(os.Stderr, "usage: grpccall SERVICE [CALLS-A-SECOND [KEY]]")
		os.Exit(2)
	}
	conn, err := grpc.Dial("perigee:///"+os.Args[1], grpc.WithInsecure(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"perigee": {}}]}`))
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpccall:", err)
		os.Exit(1)
	}
	ctx, client := context.Background(), grpc_health_v1.NewHealthClient(conn)
	if len(os.Args) == 4 {
		ctx = resolver.WithKey(ctx, os.Args[3])
	}
	for range time.Tick(time.Duration(float64(time.Second) / rate)) {
		call(ctx, client)
	}
}
