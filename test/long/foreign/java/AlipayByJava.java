import com.alibaba.fastjson.JSONObject;
import com.alipay.api.AlipayApiException;
import com.alipay.api.AlipayClient;
import com.alipay.api.AlipayConfig;
import com.alipay.api.AlipayRequest;
import com.alipay.api.AlipayResponse;
import com.alipay.api.DefaultAlipayClient;
import com.alipay.api.internal.util.AlipaySignature;
import com.alipay.api.request.AlipayTradeCloseRequest;
import com.alipay.api.request.AlipayTradeFastpayRefundQueryRequest;
import com.alipay.api.request.AlipayTradePagePayRequest;
import com.alipay.api.request.AlipayTradeQueryRequest;
import com.alipay.api.request.AlipayTradeRefundRequest;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * A merchant that knows nothing but Alipay's official SDK. It reads one JSON command a line from its standard input, and
 * answers each with one line of JSON; whatever the SDK throws is answered as {"refused": why}.
 */
public final class AlipayByJava {
  private AlipayByJava() {}

  public static void main(String[] args) throws IOException {
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      System.out.println(answer(JSONObject.parseObject(line)).toJSONString());
    }
  }

  private static JSONObject answer(JSONObject command) {
    try {
      return carryOut(command);
    } catch (AlipayApiException refusal) {
      return new JSONObject().fluentPut("refused", String.valueOf(refusal.getMessage()));
    }
  }

  private static JSONObject carryOut(JSONObject command) throws AlipayApiException {
    String biz = command.getString("biz");
    switch (command.getString("do")) {
      case "query":
        return call(command, query(biz));
      case "close":
        return call(command, close(biz));
      case "refund":
        return call(command, refund(biz));
      case "refundQuery":
        return call(command, refundQuery(biz));
      case "payUrl":
        return payUrl(command, biz);
      case "checkNotification":
        return checkNotification(command);
      case "sign":
        return sign(command);
      case "signNotification":
        return signNotification(command);
      default:
        throw new IllegalArgumentException("no such command: " + command);
    }
  }

  private static AlipayTradeQueryRequest query(String biz) {
    AlipayTradeQueryRequest request = new AlipayTradeQueryRequest();
    request.setBizContent(biz);
    return request;
  }

  private static AlipayTradeCloseRequest close(String biz) {
    AlipayTradeCloseRequest request = new AlipayTradeCloseRequest();
    request.setBizContent(biz);
    return request;
  }

  private static AlipayTradeRefundRequest refund(String biz) {
    AlipayTradeRefundRequest request = new AlipayTradeRefundRequest();
    request.setBizContent(biz);
    return request;
  }

  private static AlipayTradeFastpayRefundQueryRequest refundQuery(String biz) {
    AlipayTradeFastpayRefundQueryRequest request = new AlipayTradeFastpayRefundQueryRequest();
    request.setBizContent(biz);
    return request;
  }

  private static <T extends AlipayResponse> JSONObject call(JSONObject command, AlipayRequest<T> request)
      throws AlipayApiException {
    AlipayClient client = clientOf(command);
    T response = certificatesOf(command) == null ? client.execute(request) : client.certificateExecute(request);
    return new JSONObject().fluentPut("success", response.isSuccess()).fluentPut("body", response.getBody());
  }

  private static JSONObject payUrl(JSONObject command, String biz) throws AlipayApiException {
    AlipayTradePagePayRequest request = new AlipayTradePagePayRequest();
    request.setNotifyUrl(command.getString("notifyUrl"));
    request.setBizContent(biz);
    return new JSONObject().fluentPut("url", clientOf(command).pageExecute(request, "GET").getBody());
  }

  private static AlipayClient clientOf(JSONObject command) throws AlipayApiException {
    JSONObject merchant = command.getJSONObject("merchant");
    AlipayConfig config = new AlipayConfig();
    config.setServerUrl(merchant.getString("gateway"));
    config.setAppId(merchant.getString("appId"));
    config.setPrivateKey(merchant.getString("privateKey"));
    JSONObject certificates = certificatesOf(command);
    if (certificates == null) {
      config.setAlipayPublicKey(merchant.getString("alipayPublicKey"));
    } else {
      config.setAppCertContent(certificates.getString("app"));
      config.setAlipayPublicCertContent(certificates.getString("alipay"));
      config.setRootCertContent(certificates.getString("root"));
    }
    config.setFormat("json");
    config.setCharset("UTF-8");
    config.setSignType("RSA2");
    return new DefaultAlipayClient(config);
  }

  /** Of an application in certificate mode; null in key mode. */
  private static JSONObject certificatesOf(JSONObject command) {
    return command.getJSONObject("merchant").getJSONObject("certificates");
  }

  private static JSONObject checkNotification(JSONObject command) throws AlipayApiException {
    Map<String, String> fields = fieldsOf(command.getString("form"));
    String certificate = command.getString("alipayCertPath");
    boolean genuine =
        certificate == null
            ? AlipaySignature.rsaCheckV1(fields, command.getString("alipayPublicKey"), "UTF-8", "RSA2")
            : AlipaySignature.rsaCertCheckV1(fields, certificate, "UTF-8", "RSA2");
    return new JSONObject().fluentPut("genuine", genuine);
  }

  private static Map<String, String> fieldsOf(String form) {
    Map<String, String> fields = new HashMap<>();
    for (String pair : form.split("&")) {
      int middle = pair.indexOf('=');
      fields.put(decode(pair.substring(0, middle)), decode(pair.substring(middle + 1)));
    }
    return fields;
  }

  private static String decode(String text) {
    return URLDecoder.decode(text, StandardCharsets.UTF_8);
  }

  private static JSONObject sign(JSONObject command) throws AlipayApiException {
    return signed(command, command.getString("content"));
  }

  private static JSONObject signNotification(JSONObject command) throws AlipayApiException {
    Map<String, String> fields = new HashMap<>();
    command.getJSONObject("fields").forEach((name, value) -> fields.put(name, String.valueOf(value)));
    return signed(command, AlipaySignature.getSignCheckContentV1(fields));
  }

  private static JSONObject signed(JSONObject command, String content) throws AlipayApiException {
    String signature = AlipaySignature.rsaSign(content, command.getString("privateKey"), "UTF-8", "RSA2");
    return new JSONObject().fluentPut("sign", signature);
  }
}
