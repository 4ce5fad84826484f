// healthserver ADDRESS:PORT [broken]: a gRPC server with nothing but gRPC's own health service; one that is
// broken answers that with an error.
package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func refuse(context.Context, interface{}, *grpc.UnaryServerInfo, grpc.UnaryHandler) (interface{}, error) {
	return nil, status.Error(codes.Internal, "it is broken")
}

func run(address string, options ...grpc.ServerOption) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(options...)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	fmt.Println("listening on", listener.Addr())
	return server.Serve(listener)
}

func main() {
	var options []grpc.ServerOption
	if len(os.Args) == 3 && os.Args[2] == "broken" {
		options = append(options, grpc.UnaryInterceptor(refuse))
	} else if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: healthserver ADDRESS:PORT [broken]")
		os.Exit(2)
	}
	if err := run(os.Args[1], options...); err != nil {
		fmt.Fprintln(os.Stderr, "healthserver:", err)
		os.Exit(1)
	}
}
