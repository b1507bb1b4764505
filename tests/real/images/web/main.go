// A web server that speaks just enough HTTP: net/http would take most of the time of the test.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func check() {
	connection, err := net.Dial("tcp", "127.0.0.1:8080")
	if err != nil {
		os.Exit(1)
	}
	connection.Close()
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-check" {
		check()
		return
	}
	page, err := os.ReadFile("/srv/index.html")
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		panic(err)
	}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	go func() {
		<-stopped
		os.Exit(0)
	}()
	fmt.Println("serving", len(page), "bytes on", runtime.GOARCH)
	for {
		connection, err := listener.Accept()
		if err != nil {
			continue
		}
		fmt.Fprintf(connection, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
		connection.Close()
	}
}
