import java.net.InetSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

public class Server {
    public static void main(String[] arguments) throws Exception {
        try (ServerSocketChannel server = ServerSocketChannel.open()) {
            server.bind(new InetSocketAddress(8080));
            System.out.println("serving on " + System.getProperty("os.arch"));
            while (true) {
                try (SocketChannel connection = server.accept()) {
                    connection.write(java.nio.ByteBuffer.wrap("hello\n".getBytes()));
                }
            }
        }
    }
}
