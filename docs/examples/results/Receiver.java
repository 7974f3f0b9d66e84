// Takes the results that durable-alipay posts. Set PORT and ORDER_SERVICE_SECRET.
import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.http.HttpHeaders;

public class Receiver {
  public static void main(String[] args) throws Exception {
    var webhook = new Webhook(System.getenv("ORDER_SERVICE_SECRET"));
    var port = Integer.parseInt(System.getenv("PORT"));
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.createContext("/", exchange -> {
      var body = new String(exchange.getRequestBody().readAllBytes());
      try {
        webhook.verify(body, HttpHeaders.of(exchange.getRequestHeaders(), (name, value) -> true));
        System.out.println(body); // act once
        exchange.sendResponseHeaders(204, -1);
      } catch (WebhookVerificationException error) {
        exchange.sendResponseHeaders(401, -1);
      }
      exchange.close();
    });
    server.start();
  }
}
