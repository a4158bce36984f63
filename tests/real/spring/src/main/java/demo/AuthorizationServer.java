package demo;

import static org.springframework.security.config.Customizer.withDefaults;

import java.util.Collection;
import java.util.List;
import java.util.Set;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.core.annotation.Order;
import org.springframework.http.MediaType;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.core.OAuth2ErrorCodes;
import org.springframework.security.oauth2.core.endpoint.OAuth2AuthorizationRequest;
import org.springframework.security.oauth2.server.authorization.OAuth2TokenType;
import org.springframework.security.oauth2.server.authorization.authentication.OAuth2AuthorizationGrantAuthenticationToken;
import org.springframework.security.oauth2.server.authorization.authentication.OAuth2ClientRegistrationAuthenticationContext;
import org.springframework.security.oauth2.server.authorization.authentication.OAuth2ClientRegistrationAuthenticationProvider;
import org.springframework.security.oauth2.server.authorization.authentication.OAuth2ClientRegistrationAuthenticationToken;
import org.springframework.security.oauth2.server.authorization.authentication.OAuth2ClientRegistrationAuthenticationValidator;
import org.springframework.security.oauth2.server.authorization.token.JwtEncodingContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenClaimsContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenCustomizer;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.authentication.LoginUrlAuthenticationEntryPoint;
import org.springframework.security.web.util.matcher.MediaTypeRequestMatcher;

/** An authorization server for MCP servers. Its clients and its user are in `application.yml`. */
@SpringBootApplication
public class AuthorizationServer {
  /** The scopes that a client may name in its registration. */
  private static final Set<String> SCOPES = Set.of("mcp:tools", "write:notes");

  public static void main(String[] args) {
    SpringApplication.run(AuthorizationServer.class, args);
  }

  /** The two filter chains are those of Spring's "Getting Started", with open registration. */
  @Bean
  @Order(1)
  SecurityFilterChain endpoints(HttpSecurity http) throws Exception {
    return http
        .oauth2AuthorizationServer(server -> {
          http.securityMatcher(server.getEndpointsMatcher());
          server
              .oidc(withDefaults())
              .clientRegistrationEndpoint(endpoint -> endpoint
                  .openRegistrationAllowed(true)
                  .authenticationProviders(AuthorizationServer::allowScopes));
        })
        .authorizeHttpRequests(requests -> requests
            .requestMatchers("/*/oauth2/register").permitAll()
            .anyRequest().authenticated())
        .exceptionHandling(exceptions -> exceptions.defaultAuthenticationEntryPointFor(
            new LoginUrlAuthenticationEntryPoint("/login"), new MediaTypeRequestMatcher(MediaType.TEXT_HTML)))
        .build();
  }

  @Bean
  @Order(2)
  SecurityFilterChain login(HttpSecurity http) throws Exception {
    return http
        .authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
        .formLogin(withDefaults())
        .build();
  }

  /** Spring's default validator rejects every registration with a scope, and MCP clients register with scopes. */
  private static void allowScopes(List<AuthenticationProvider> providers) {
    var validator = OAuth2ClientRegistrationAuthenticationValidator.DEFAULT_REDIRECT_URI_VALIDATOR
        .andThen(OAuth2ClientRegistrationAuthenticationValidator.DEFAULT_JWK_SET_URI_VALIDATOR)
        .andThen(AuthorizationServer::checkScopes);
    for (var provider : providers) {
      if (provider instanceof OAuth2ClientRegistrationAuthenticationProvider registration) {
        registration.setAuthenticationValidator(validator);
      }
    }
  }

  private static void checkScopes(OAuth2ClientRegistrationAuthenticationContext context) {
    OAuth2ClientRegistrationAuthenticationToken request = context.getAuthentication();
    Collection<String> scopes = request.getClientRegistration().getScopes();
    if (scopes != null && !SCOPES.containsAll(scopes)) {
      throw new OAuth2AuthenticationException(OAuth2ErrorCodes.INVALID_SCOPE);
    }
  }

  /** Makes access tokens JWTs of RFC 9068 for the requested resource. */
  @Bean
  OAuth2TokenCustomizer<JwtEncodingContext> jwt() {
    return context -> {
      if (!OAuth2TokenType.ACCESS_TOKEN.equals(context.getTokenType())) return;
      context.getJwsHeader().type("at+jwt");
      context.getClaims().claim("client_id", context.getRegisteredClient().getClientId());
      List<String> resources = resources(context);
      if (!resources.isEmpty()) context.getClaims().audience(resources);
    };
  }

  @Bean
  OAuth2TokenCustomizer<OAuth2TokenClaimsContext> opaque() {
    return context -> {
      List<String> resources = resources(context);
      if (!resources.isEmpty()) context.getClaims().audience(resources);
    };
  }

  /**
   * The `resource` (RFC 8707) of the token request, or else of the authorization request. Spring itself ignores it. A
   * server in production should accept only the resources that it knows.
   */
  private static List<String> resources(OAuth2TokenContext context) {
    OAuth2AuthorizationGrantAuthenticationToken grant = context.getAuthorizationGrant();
    Object resource = grant.getAdditionalParameters().get("resource");
    if (resource == null && context.getAuthorization() != null) {
      OAuth2AuthorizationRequest request =
          context.getAuthorization().getAttribute(OAuth2AuthorizationRequest.class.getName());
      if (request != null) resource = request.getAdditionalParameters().get("resource");
    }
    if (resource instanceof String one) return List.of(one);
    return resource instanceof String[] several ? List.of(several) : List.of();
  }
}
