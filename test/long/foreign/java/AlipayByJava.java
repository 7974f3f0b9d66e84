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
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * A merchant that knows nothing but Alipay's official SDK. What commands and answers are: ../clients.ts. It signs in Alipay's
 * place, too.
 */
public final class AlipayByJava {
  private AlipayByJava() {}

  public static void main(String[] args) throws IOException {
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      System.out.println(answer(JSONObject.parseObject(line)).toJSONString());
    }
  }

  private static JSONObject answer(JSONObject command) throws IOException {
    try {
      return carryOut(command);
    } catch (AlipayApiException refusal) {
      return new JSONObject().fluentPut("refused", String.valueOf(refusal.getMessage()));
    }
  }

  private static JSONObject carryOut(JSONObject command) throws AlipayApiException, IOException {
    switch (command.getString("do")) {
      case "payUrl":
        return page(command, "GET");
      case "payForm":
        return page(command, "POST");
      case "call":
        return call(command, requestOf(command.getString("method"), command.getString("biz")));
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

  private static AlipayRequest<?> requestOf(String method, String biz) {
    switch (method) {
      case "alipay.trade.query":
        return query(biz);
      case "alipay.trade.close":
        return close(biz);
      case "alipay.trade.refund":
        return refund(biz);
      case "alipay.trade.fastpay.refund.query":
        return refundQuery(biz);
      default:
        throw new IllegalArgumentException("no such method: " + method);
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
    return new JSONObject().fluentPut("answer", JSONObject.parseObject(response.getBody()));
  }

  private static JSONObject page(JSONObject command, String httpMethod) throws AlipayApiException {
    AlipayTradePagePayRequest request = new AlipayTradePagePayRequest();
    request.setNotifyUrl(command.getString("notifyUrl"));
    request.setBizContent(command.getString("biz"));
    return new JSONObject().fluentPut("page", clientOf(command).pageExecute(request, httpMethod).getBody());
  }

  private static AlipayClient clientOf(JSONObject command) throws AlipayApiException {
    JSONObject merchant = command.getJSONObject("merchant");
    AlipayConfig config = new AlipayConfig();
    config.setServerUrl(merchant.getString("gateway"));
    config.setAppId(merchant.getString("appId"));
    config.setPrivateKey(merchant.getJSONObject("privateKey").getString("barePkcs8"));
    JSONObject certificates = certificatesOf(command);
    if (certificates == null) {
      config.setAlipayPublicKey(merchant.getString("alipayPublicKey"));
    } else {
      config.setAppCertContent(certificates.getString("app"));
      config.setAlipayPublicCertContent(certificates.getString("alipay"));
      config.setRootCertContent(certificates.getString("root"));
    }
    config.setFormat("json");
    config.setCharset(merchant.getString("charset"));
    config.setSignType(merchant.getString("signType"));
    return new DefaultAlipayClient(config);
  }

  /** Of an application in certificate mode; null in key mode. */
  private static JSONObject certificatesOf(JSONObject command) {
    return command.getJSONObject("merchant").getJSONObject("certificates");
  }

  private static JSONObject checkNotification(JSONObject command) throws AlipayApiException, IOException {
    JSONObject merchant = command.getJSONObject("merchant");
    String charset = merchant.getString("charset");
    String signType = merchant.getString("signType");
    Map<String, String> fields = fieldsOf(command.getString("form"), Charset.forName(charset));
    JSONObject certificates = certificatesOf(command);
    boolean genuine;
    if (certificates == null) {
      genuine = AlipaySignature.rsaCheckV1(fields, merchant.getString("alipayPublicKey"), charset, signType);
    } else {
      Path file = Files.writeString(Files.createTempFile("alipay", ".crt"), certificates.getString("alipay"));
      genuine = AlipaySignature.rsaCertCheckV1(fields, file.toString(), charset, signType);
      Files.delete(file);
    }
    return new JSONObject().fluentPut("genuine", genuine);
  }

  private static Map<String, String> fieldsOf(String form, Charset charset) {
    Map<String, String> fields = new HashMap<>();
    for (String pair : form.split("&")) {
      int middle = pair.indexOf('=');
      fields.put(
          URLDecoder.decode(pair.substring(0, middle), charset), URLDecoder.decode(pair.substring(middle + 1), charset));
    }
    return fields;
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
