import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alipay.api.AlipayConfig;
import com.alipay.api.DefaultAlipayClient;
import com.alipay.api.request.AlipayTradePagePayRequest;
import com.alipay.api.request.AlipayTradeQueryRequest;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class PaymentTest {
  private static final HttpClient WEB = HttpClient.newHttpClient();
  private static Process sandbox;
  private static String url;
  private static DefaultAlipayClient alipay;

  @BeforeAll
  static void start() throws Exception {
    int port;
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    url = "http://127.0.0.1:" + port;
    String command = System.getenv().getOrDefault("ALIPAY_SANDBOX", "npx --no-install alipay-sandbox");
    List<String> words = new ArrayList<>(List.of(command.split(" ")));
    words.addAll(List.of("--port", "" + port, "--dir", Files.createTempDirectory("alipay").toString()));
    sandbox = new ProcessBuilder(words).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
    String setup = setup();
    AlipayConfig config = new AlipayConfig();
    config.setServerUrl(url + "/gateway.do");
    config.setAppId(field(setup, "appId"));
    config.setPrivateKey(field(setup, "barePkcs8"));
    config.setAlipayPublicKey(field(setup, "bare"));
    alipay = new DefaultAlipayClient(config);
  }

  @AfterAll
  static void stop() {
    sandbox.destroy();
  }

  @Test
  void aBuyerPays() throws Exception {
    AlipayTradePagePayRequest pay = new AlipayTradePagePayRequest();
    pay.setBizContent("{\"out_trade_no\":\"A1\",\"total_amount\":\"8.88\",\"subject\":\"龙井茶\","
        + "\"product_code\":\"FAST_INSTANT_TRADE_PAY\"}");
    String page = alipay.pageExecute(pay, "GET").getBody();
    String body = "{\"outTradeNo\":\"" + page + "\"}";
    HttpRequest act = HttpRequest.newBuilder(URI.create(url + "/control/pay"))
        .header("content-type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body)).build();
    assertEquals(200, WEB.send(act, BodyHandlers.ofString()).statusCode());
    AlipayTradeQueryRequest query = new AlipayTradeQueryRequest();
    query.setBizContent("{\"out_trade_no\":\"A1\"}");
    assertEquals("TRADE_SUCCESS", alipay.execute(query).getTradeStatus());
  }

  private static String setup() throws Exception {
    for (int left = 300; left > 0; left--) {
      try {
        return WEB.send(HttpRequest.newBuilder(URI.create(url + "/setup/json")).build(), BodyHandlers.ofString()).body();
      } catch (IOException notYet) {
        Thread.sleep(100);
      }
    }
    throw new IllegalStateException("the sandbox did not start");
  }

  private static String field(String json, String name) {
    Matcher found = Pattern.compile("\"" + name + "\":\"([^\"]*)\"").matcher(json);
    assertTrue(found.find(), name);
    return found.group(1);
  }
}
