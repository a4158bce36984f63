//! RSA signatures that only the owner of the private key can make, over fixed texts. Lenient verifiers accept some of
//! these paddings (RFC 8017, section 8.2.2; Bleichenbacher 2006), or PSS with other parameters.

/// The modulus. The exponent is 65537.
pub const N: &str = "\
    vFvL-xwU78Y-lbotasaNryL-_m3roaOUK4hYPOqEx8kQIeTl8fykUKM8fQCFUfBSPc3swwJrEReA_a01JQCpXKW-1WNdG8yF1mNboJdom3OwD8\
    DDrlctzChnmnKSdMBlbqlWB0zLpEhYvq7mlRYgjgWpWNPhPVvHohkazlDYJAkzz5UyzuFpdsanDS1h3DRXbV-ONGp13kcZXb9xGsMt17TbfhPQ\
    VG0cwh7wbF98LtFa0xJKim48Z-Y8fDWNmHklj7z7ZSdufGQ7mxSO464L7YP0mT9kQaOdffT8U7OuGkmmjn2lH0_BXtdIie6TF9k_uQVWfJAP4d\
    onxe2rRjlSxw";

/// The header and the payload of a token whose signature is one of [`SIGNATURES`].
pub fn signing_input(algorithm: &str) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","kid":"rsa","typ":"at+jwt"}}"#);
    let payload = concat!(
        r#"{"iss":"https://auth.example.com","sub":"alice","aud":"https://mcp.example.com/mcp","#,
        r#""exp":1800000300,"iat":1800000000,"scope":"mcp:tools"}"#
    );
    format!("{}.{}", super::trial::base64url(header), super::trial::base64url(payload))
}

/// Case, algorithm, description, signature, verdict.
#[rustfmt::skip] // Otherwise, each row takes five lines.
pub const SIGNATURES: &[(&str, &str, &str, &str, &str)] = &[
    ("control", "RS256", "as defined in RFC 8017", "\
        Xjm5QnH8jpiCKOfvAe_ALBDBDKcCxLdTGsUwTp37M8USTFISSSiPtMI1gCWwyM-YA7aGwGojbg6x0bjBZlOz_0ZFCR2mqQPAZJL_1Vw5MlsYGL\
        A_ga42MvJdGYly2PIVsBHm9vQBZkVSSvkdM_p30fPlEd6iBd_7W4iLTvNikyDCdKvuvaV9BvHp08vqpgJsfxKTF3muYH2Vcosto3qDpvjRaHYJ\
        Gg2iLD11ETE3uupANDsN5IReIOXGB94GCC2K9xiibFVd9OEWDFjToxp2YjHMeJPEDvkJEsUbAFApedmnwroYRNCZvABMRwfXTJOVoa3QpjQiIe\
        ps8eQKjx0J_Q", "OK"),
    ("C21", "RS256", "long form of the outer length", "\
        KQTR0KegrvyG8l0wipykHYuSGjygPe2NcJSqLrc8ZPqi_AJTsst0Kn7OhUeEzt5OdKPT2ZLFacEj0LJwQmAsZN8CzH8TlLLKuJ6gbsZSTQ8j6s\
        Wq3usgk-XFTR1cyiew1k6YNtsx8O_TTyZajP1d_qSI1oLPfpUAvlEV7E24DnSusldmPOhC3qoVKIvvJUhNmk3eyyiRK89hqz389wvOV7GK3Bld\
        rb7jIqBcC_Zw7TQNTD9LpZbty0TT6E8uQs6aIkv3OvuvyB_edM3_8ljPjjM9-pIBZUQ6y1d_sv51suXaCAMbUExbtDNLjw3xhKuuk0fI7eV8ZU\
        Q3V2uEekgqNg", "R401"),
    ("C21", "RS256", "long form of the algorithm length", "\
        ZwGCWhszI4UW35iKBjQP8YTWEXGsDcXjt_m_Kzus1OP9mdSEIUON14WsHLj2rPJdfdwAbCAYSQmLT5zxnKsyOuvTQc05tLExlB0N2h7388uSXs\
        ABclqryPnuj67L1hrdpdOgG_Q0JJb9Mcz69oToXLncA2T_rKJEqZl44IQrbVMss8WHNIA7iakhyHYqqOoO-5VZlA6z2RBX6KblxjqJrblabbCc\
        6Qg-DCt99Q01LdTuNmB9WEBj9RHe8Yn-iwxWQUJl4hY9OpTLV1QMd8PzG1O-OpMXPnBp6Wr8sZCuS-ZaweI90_Y4etPXIKl8pRZ5ygRVkQaGW-\
        08TXIf2XHPRg", "R401"),
    ("C21", "RS256", "long form of the digest length", "\
        R0HquW1usHdZr5ixOxHoFRldmBlZCdbgNAFbNNiTIpS4lzK6Hfjq9vIGJ9QCWFxFumWRSJ1GLn1E_JOAw7Y5dJpB2PHgdzJwSwMZOuucFp2YkW\
        ZLlBTpeLOKqWNtSI8P4iPIcFT-5NDBxmWh6NRJaHF4FFhL45h4z2y55hikzAVxC6-mc7E-9uqHcsW3ztoSGqQwPGvCzyUB50C86wczNgWylHJg\
        Agl9VzstIokX9DFAi2PxIWvqYOj4avSPw_dWiCSQT_b9GW4VaEPfA-rNLUBYPvx1nD6dFJosGb5oiA7tJUJRGRTCXUsyP_GyNPayip7Vigs3Ij\
        t33rxXN27oGg", "R401"),
    ("C21", "RS256", "long form of the OID length", "\
        tQpZb0ZvJYBF-YpO47aKHS2aa_Rxjc6zhoPNuwFmbqXNt5r1yetd_cUvmcyhmgk6Rc4SdnBbcywzRUAoYQrbkUjMVHXWc8YoEOS6XLqXAkNNP1\
        i2X8VFBPnsOYwPnbyXxeGsidOr_P50TlXtxgODy0YYp3J7et6z_hFCZnk4gzo7G-QrN7uveqiSDST63rKtGfzJiF7jbdL7iWzJxXnfdxaQ6cEk\
        SzK2B1ftr4QciIolsv4B6PDvz7C9Jf-BapFYSqifbEFMpg6tA5-2ZgSFiK3CTPCsdFtJqMdpHhD7KQATlKDnE8hNcn4W7N7LqxJMI-MYaPLX9F\
        fzJ2P2O_jSZw", "R401"),
    ("C21", "RS256", "indefinite length", "\
        iN8dhBQ_IVyczHNT09f11upT6PY7iGBQtutilMqF6KqPjZUmYaoIzqRY6LsvDcrmR4-WkJiHP1WOM1pAsSU9_0eVYxMw14c1-bbIgQsxqe9eRy\
        SM9VnHKav5DfdePWrWQC84JbB9OKhIJZMfIPoSDU0t36l374XFLm2aJ2LDJqQEjsjY2SjpKuEPLQ8G0x4hPaRVSovdJMCf1FNG9LvouVUt0u0e\
        RXceTZypUiikpPMM7Hj5xU-tTLWDRE2p64vdT5AfD2-QWvGTWkQOShbF9FvH_jOr0B0W_JWUXXLIRMvuSQdHpwgGswirzRmRXnMkBfDK5ZAoCt\
        7X_kiv6c8zuA", "R401"),
    ("C21", "RS256", "no NULL", "\
        j36mXCsgXPeCl0cY2QmDzhC4mmVaqPHpa8q5cAxH8KMYllmoU6fQvnYiQp7M00JjY66VXRvzOJtLraVqzG3yFrToNJk-eyrcAwIZpggOb_Sfd0\
        huozuYYXmVFEiwnvU6UfVN14UbY3vUQ_BiRUS6lE747ojh6m1PTVXlYnAo4pZ9NZKTo82F-S9AL56ymTWtzU0tms0J-H8RX8bNjo9GFDV4FG2i\
        _NMOYlle2XlMocEHlcm7mHBnKoxGD_srW8jBjQ4eJmg_l_qDS-q6YB871iPUSWMZe6cj0P8B44JcRKhkp4la0S99awDyVN2XVVx3WWKonO5YvZ\
        C3bTJkwUULDQ", "R401"),
    ("C21", "RS256", "a NULL with content", "\
        qCGvaLUmajmbCmkPBbCN-rae1nm9EktVHktCTfSIpuEpvQxSnfTw-v3wyMTj10p9K36Z2JuJ1RmVPNBnuCA3P_Fl1o_lwYn-mOiuCo1Vmb7d90\
        RE76dh6zuGyZbuJqddKuRt0BKYZU0537zvLxPIdK2U14OivlhxCZvenXvZ0tozFcbQEkJfQ-v22HnswI3R6VQoL0IeLeqvU3IMU3prtX01JwQQ\
        RjWBvHokgxlR3Zz-4VsZN-As8NkiD50CrOY7Q8HFq1tPSOKBXJcSAdxvsjGjKD2XMJ2nDYuxgrr1BUcl13nfYMHvzhPqdLKmAo2HWbqbq72IrK\
        lmI1NUQyU6qQ", "R401"),
    ("C21", "RS256", "an octet string for NULL", "\
        kncNVNHBOuAIgRTz8DAqpZ12ODv5_hSmtEoX8vUF9RzsIHFs-I4JY7-rS0qZBkDGewU5fkQyDmorKvKQJNQXFTGHSQlw_S1hOSE0XKjGmeGAiS\
        gESUHkKdaE_oJtTAT3e9vc5-auGcLZ12iNneSgpPnGmkPAR5XYMGibMFPoxxLR-O7wDCRbPhdOijllNjuOhuKL4NVvZzACiNYECMmI78ZNNW2t\
        96w3FAfZIyHSOpDqIfx-b8ebeyD8gTvyz4tF1X_yfuCriFQ4tAJQROXQHQdWJTIBNpJZImal22mVJ7EO6PWlWyN73VaAw2sEk4G5bWrGoaAQck\
        lmv6E03tJgYA", "R401"),
    ("C21", "RS256", "the OID of SHA-1", "\
        srO_QaWip-95SqYDfknvpTwWgnpR0IiDng7xbdmsIzkxw1h8_TfhiOm2-MJogEPcavdg-QGGRhrRemjDsz2qyGPnO3urdPz2ORXdKXmA-Ysw6o\
        Lo9fFQbcyqDndC-Os_Jn2ZL6oBeRobTBGb6589FQDGoK385aTYiyoD0383gMj567V4tcznSMaohO0P7ZslKS5zsetz9hIbrWbsPp2KXYglU237\
        VNv3vhuduNGCoY02NwZjvyeru-84aConZzmC0_00nfKuSC0_w8uwR9YERxzCp1NH5qHP84x6JGEqOzOYjSdZzt15xbJKdjJTPskeimFVwHjzes\
        dpowe84ALsAQ", "R401"),
    ("C21", "RS256", "the OID of SHA-512", "\
        Bug2jrF5InqeDEe0fgNqmTEtMRz0oxr1YA2tNPx_x-CC5Qlq4iiJ45H4oqPECXyg8ZTDFLPeNoUFnMAfjBdbX1JRW2Mxq3JZ1d7iNZutp8gVMt\
        TG5XXsKnI5ri3NgDtpgvxEmuvAmUjOZB8Bjgiti1SD373uOIWquJLckenVlrksyc45zYBRF1_WiHhj0-qCvSeJ-4aAZNVbNVekNIvzSC4GBeVT\
        FXW1fFchcyLalJOJT48JBYSYUb1s8kMEvwuufv0FRRY45OUHVjK2GcAsgMGaZdVHM7_XOuyWAp5jZmmnP5mRyI8t3TYyHdQDsGdoAnKv2VzWUk\
        syYpiJGjMqGg", "R401"),
    ("C21", "RS256", "the hash alone", "\
        gz82K72qqPXLGHUz7GUSlDb6qAiOgEXo6rXWm23Zl4NyNh5L6k1hE3LqKLqVVP6WgEg2ZMvmvX5C7I5iiFz5yuvX9ovYZrAge_BqGCt8l08hAA\
        Naazkj3XuO4qqDPPcWmIxeXipXpXMbYMshljhbltmPPNW_LkRDHzaBbGTaXmbzG3tGz0Va03fcZCW9fAu_6Fd46eEZWLEYAOaO-kHfiyS_jBqs\
        GYR6xmxmtjCXQ69gtiweWUuRzgl2YA4OSnfCMri8Yu2S7LRP26qdPvR2sxX24wwVmOasIerpnWC3MS_xuco94Kr5wJx2GhwhKH_UE0mhceUVmk\
        yiZdzJzF_C4g", "R401"),
    ("C21", "RS256", "garbage after a short padding", "\
        NOoOrfrPpQyOKWWqE9R6V-k6xnT1ljhRiUxq7dSB-mQvXpwJFLbemMAOeco9F-lqt9oI7pOxxmu6PI9TCyULf0HabvU_nIobe9gAVcADmvRJLJ\
        egTz7fWmrmfQzinGXAIsH5Dxl6tkDiX8S5rsRZO3bXLz5KpwBkBXKQz-qLLWjJMLstd82ZUAUMzYw3JpzQqjEKuD37mX8aDVhM6sr-EWbKvNcu\
        uc5Y4HeLb6gcPWbcsloKDkoPTnBQfiTmtoffnP5SsnBEvfh-rxb-8wvXYzbJqT4PuvXtm6_3sdXk6hFkYwnxVPXdoQTSputUF-3EbrpGFN9ZwY\
        fkKSZmOB8biA", "R401"),
    ("C21", "RS256", "zeros after a short padding", "\
        uUmovy2d5jlbQi65_Q_JSjKqIpxy8vj4y12grbMMq99QtMfum9lHWGVFZgeNqHpOB_zOfk8l3nD1vVd3fYZc4jbzL1HggUpn-E0l8VmR05397Q\
        rSTCxaVmsfNshyyrohVdslQsZW6Lga-z1BgTdLMI_2i5w4k3s8hSNXIcDms9IvDiQ-BcWpfDCVuwJJpnTgQ_m_pgfG7WH0pi9h6A1uFq9ZpuD0\
        OCsCiZsmaJ6EJ53dwUXzm9XCeD-gaNFk8dQEz_p84IjW_BSXsINt2uK4b8q1tajCydfej0AOSb9OdTYEPXkEUSINYLfuWbB9z-PwYVl1kiPa0S\
        lQRT40CEre-A", "R401"),
    ("C21", "RS256", "garbage in the structure", "\
        D4bUMbPRBAf57rLO2A9yKawLFS5Vs3k9q0A-vaVx7M05IX5W0AJpeRqXnS3ze_4-qiFBVGX9CEhBZR-4jJbTPm4n3lx5YD3C3a-gqTa15QjSUV\
        RBXuGrsfGLgiP9HIxt6qL75XCdJvUu6oKQBtvHK7qdQ-rYDPj0CEykqxpeq2XPVqd5EkjN83dNPegMzRS2C_4PI-VGxh6AYu0NjF-kb7JKtRCg\
        9nXWgVy92aqWYfLrz6YI5jys-97XTxPaD7s_ahgIcMgrXizNGaYwVB-v30kY4Nx-LA6f3lHdwe-OXI-A79b97NUtxZbefjqjq_ZbHMPbmkD8Yb\
        hFOGEJfjho2g", "R401"),
    ("C21", "RS256", "padding of another byte", "\
        RcwLEzz3NDarbI572S2H9oLTJbSzV07zpmH_D4W2f38EwhnxhCHVtvl5MO6WWq1vEnfMCbE16lp2qxnDW5udXzYbjlXr6LZSQPj1BncNoA_Ggd\
        YdiN_hfn6AAkaUWBZdJkwXPOuOw6t5IbVkT0WbOyMIKNmCmXpMP4TXpSMbhH0OonQyYbg0aRQYxvO-eaS2_a8_JSg6oBmcT2mXBJc9iIwc72lZ\
        1vOkG-157x0BqG79zuqzBqbX_dQ5uxqfUelNoIPxzqWoylOWyG4vNM4i6SOJFSyyDxbpHkGDugeWY6GVhGctMTTagsjTtnezdZbjv2qySc8OTs\
        olJ_Rr3W3law", "R401"),
    ("C21", "RS256", "padding of zeros", "\
        r4Dlqu9WtdtAIXTVBpNzW0e0Ea3u3xdBPlPQhmBaMJHfj5EkMYOvgfGlkXE_1o9fZRQHk4nVr56yWZtOYJN1YumifVGczEMARPp2xzWBrcZmJq\
        K1WUGbNOYOIlWNpN5ydtjd7-XOxHUBeDMXTimniHOYl-13zghV1L1W5nR1HqaewjFbmufGfSr3OgG_ztlOUQbIKiaHPH0Y6j7CeKOoJroiLSAv\
        Y_A6Dlh0da9h1-ZvJlYC1hXWri4CQh36vbRv3ZDTzl6yqdt0EYXyPmQgfvXLCpLM-FWbZkm-QacuFoPVlMGTv4DVCTOFbx6UQENbs75YH4cm7p\
        onw0VWVpFJYQ", "R401"),
    ("C21", "RS256", "no separator", "\
        BWUidy6XBKb1fvAet0d9U_dFDHXjHXEmtKbZKiNBXNVZOIMwPWe6IOPXno1XbcBKUV8WaGflzVCmP8xTf9FO-3JJG4XJswpD3Vg4reUrvbsNn_\
        cy9PQo9ISC3CbLzKHZwslJb8g_E1vocwyKdG3UunT9sZOoTbXBf5XyE0744gBQU_JpwB3tHX36BjxN-V1RJibApD_Kjcjy2P2YCI84SFUsK125\
        4aPdVwjaElx7eYnGqUer2DSd2EMb8yieQjrmm7QjfPP4PcRNML6sXWzqaCc_2MqWGsqvmKMQVW23NZ-ZQ5E8e3dFZvuZ-AH4y1ssvHow-qQIYq\
        1YGULhtT3btw", "R401"),
    ("C21", "RS256", "block type 0", "\
        Ca6Rm2mYPvuyw8URpbfGr4IE8C-UiA0ZlwHKbtqLBJtlKpOMmRIERBk9OjzRdeFaRgGaXrMgE4N5tncHFUGnD6YEMYqZz99ni54NydRleL4TeM\
        vgDvXPFAvJY8mG7gv2mjSzMXrWRLzVf21EWHvmex5oTf1tCPXMFkSPdQukKQtS086GEUmC3TLBMAduQhuWgYvPMNBThPZhxwpfyE3f-J92auQ-\
        H1QYrFxiJLuFrRP-R5vD8P53Mc2jBkvAhVyHtpzA8l_pTNQn5sqUmgVPcRiU6fIk5NYycoi2ggHA1nQBoru5CcUF_tPPeFw2_85kCNM6QEpQ6_\
        GUPVYYYwo_ag", "R401"),
    ("C21", "RS256", "block type 2", "\
        Fwjww_hBGdohoY7A_SGvsU_giTaBhj5E1FAyQmm3wAQhVkQCYHwFj6mLgofNk67dDMY_891hXJYpi4BAp5-lVY7OL_EhLcUAIDR6NIQBDo5IsG\
        qorZZUtN-qtiDeUHc98_SPC06hovbfCGK9GUrWBwO4cOMifk6Pl0uLa7nxEY-ygDFsq1FXHQvtUeOYH8Eaw-_aq3bMb2BY9KPN6_xn_iGgtGLg\
        wC6T5ibu8dyzg6MxRWWmOwbIL7-I9BY-7_Cfce-C0yT4faKCIVM8h4xU7gMYB2sGkdFEhBmfJmXABSxZog_xVkfr7Xfq47BFxr-MiGl324VhIE\
        ieucuSnhWy1A", "R401"),
    ("C21", "RS256", "a first byte of 1", "\
        oHpkCRSRAJ6E88CdPeuIGQe4uHrI0IIgGqjdSsGuA_721NvySxpLMO7aF_T4O2ai9jn7waW9Z-wkOmAhD1SsBImEd7ejItbd29GWpX5hionx8o\
        AY3pOYqG87YoDLvj3UIjwK77eH9qJYSVxDNwEug8dlkRbSBfgNVRf4_lDFcDL9ddqtJq2ItHihv4ur7IL9l9NF-2Qyr7inDL0F5DTAE6pK1bIw\
        m41wDHovgR9i6SOkCrKmFKmETIiIZMLM0_UJiP9AZOWDNfH-Fvzx0D6l1ZMwkA-yN5Heibq7X_mZqFDK3uBVSSBeY9PaxbgaXtErX6TfXxqij_\
        lBzcwz9ZAUVA", "R401"),
    ("C21", "RS256", "the hash of another text", "\
        qWtMcUe6CUAMQZcXV6cqkIa_r-NsyzkW3KRGGW3C9fgFzoJsX4GY82-IyRIxZEcdx_A4_LdLYefwBl1lNd8Ie7JkDn-2qM1lPEYjQKaQK_Gu46\
        1BtwjzvYuqAqxasx54sHKIw8dpFG1XEQrkDkg7yoBiouvoUYk4sB8t_QNGCXBG6RqO3NnpbjBzdgjevETXOXBXv6_zuT0zn5d8nd6Xeq9PjtgJ\
        rX6npu73k7V095Dym6d5cAE57jvdX0X_PwzufK3utGM9L0wSu-01OotkRWNPXk-EjbmYdK0CxipTAjZQCfavq9HmyUrS6S9Fh-jqKKDJFN6b8L\
        dLRjsd-Qgypg", "R401"),
    ("C22", "RS256", "0", "\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
        AAAAAAAAAAAA", "R401"),
    ("C22", "RS256", "1", "\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
        AAAAAAAAAAAQ", "R401"),
    ("C22", "RS256", "n - 1", "\
        vFvL-xwU78Y-lbotasaNryL-_m3roaOUK4hYPOqEx8kQIeTl8fykUKM8fQCFUfBSPc3swwJrEReA_a01JQCpXKW-1WNdG8yF1mNboJdom3OwD8\
        DDrlctzChnmnKSdMBlbqlWB0zLpEhYvq7mlRYgjgWpWNPhPVvHohkazlDYJAkzz5UyzuFpdsanDS1h3DRXbV-ONGp13kcZXb9xGsMt17TbfhPQ\
        VG0cwh7wbF98LtFa0xJKim48Z-Y8fDWNmHklj7z7ZSdufGQ7mxSO464L7YP0mT9kQaOdffT8U7OuGkmmjn2lH0_BXtdIie6TF9k_uQVWfJAP4d\
        onxe2rRjlSxg", "R401"),
    ("C22", "RS256", "n", "\
        vFvL-xwU78Y-lbotasaNryL-_m3roaOUK4hYPOqEx8kQIeTl8fykUKM8fQCFUfBSPc3swwJrEReA_a01JQCpXKW-1WNdG8yF1mNboJdom3OwD8\
        DDrlctzChnmnKSdMBlbqlWB0zLpEhYvq7mlRYgjgWpWNPhPVvHohkazlDYJAkzz5UyzuFpdsanDS1h3DRXbV-ONGp13kcZXb9xGsMt17TbfhPQ\
        VG0cwh7wbF98LtFa0xJKim48Z-Y8fDWNmHklj7z7ZSdufGQ7mxSO464L7YP0mT9kQaOdffT8U7OuGkmmjn2lH0_BXtdIie6TF9k_uQVWfJAP4d\
        onxe2rRjlSxw", "R401"),
    ("C22", "RS256", "n + signature", "\
        ARqVhT2OEX5ewL6iHGy2TdszwAsU7mZa50ZNiIuIf_uOIm42-DslNAVlcf0mNhq_6kGEc4Nsjn8mMs9l9otUXVvsA96BA8TQRjr2W3Xzoc3OyC\
        hxAzAFY_8axLP8BU2yex67PP5AzQqNqwmoA8kQmF_5jmqyg0M7wv2hph1EOrcp9kRBIYyG5n24kOD5TII2w-xyIUvkJD7ErtBKnr49sX6trOaJ\
        2W56vu5cZX2Qs-m7mwdNWG7ymojMAoQTk6CmsIbVndF8zHFFUadtYobIgk-1wRHTKFCcppC6F1QD15QjTlE3vWQgWxrXlND2amRs1VqzJyLEMg\
        PElLfRtdVWXMQ", "R401"),
    ("C22", "RS256", "a zero before", "\
        AF45uUJx_I6Ygijn7wHvwCwQwQynAsS3UxrFME6d-zPFEkxSEkkoj7TCNYAlsMjPmAO2hsBqI24OsdG4wWZTs_9GRQkdpqkDwGSS_9VcOTJbGB\
        iwP4GuNjLyXRmJctjyFbAR5vb0AWZFUkr5HTP6d9Hz5RHeogXf-1uIi07zYpMgwnSr7r2lfQbx6dPL6qYCbH8Skxd5rmB9lXKLLaN6g6b40Wh2\
        CRoNoiw9dRExN7rqQDQ7DeSEXiDlxgfeBggtivcYomxVXfThFgxY06MadmIxzHiTxA75CRLFGwBQKXnZp8K6GETQmbwATEcH10yTlaGt0KY0Ii\
        HqbPHkCo8dCf0", "R401"),
    ("C22", "RS256", "a zero after", "\
        Xjm5QnH8jpiCKOfvAe_ALBDBDKcCxLdTGsUwTp37M8USTFISSSiPtMI1gCWwyM-YA7aGwGojbg6x0bjBZlOz_0ZFCR2mqQPAZJL_1Vw5MlsYGL\
        A_ga42MvJdGYly2PIVsBHm9vQBZkVSSvkdM_p30fPlEd6iBd_7W4iLTvNikyDCdKvuvaV9BvHp08vqpgJsfxKTF3muYH2Vcosto3qDpvjRaHYJ\
        Gg2iLD11ETE3uupANDsN5IReIOXGB94GCC2K9xiibFVd9OEWDFjToxp2YjHMeJPEDvkJEsUbAFApedmnwroYRNCZvABMRwfXTJOVoa3QpjQiIe\
        ps8eQKjx0J_QA", "R401"),
    ("C22", "RS256", "truncated by one", "\
        Xjm5QnH8jpiCKOfvAe_ALBDBDKcCxLdTGsUwTp37M8USTFISSSiPtMI1gCWwyM-YA7aGwGojbg6x0bjBZlOz_0ZFCR2mqQPAZJL_1Vw5MlsYGL\
        A_ga42MvJdGYly2PIVsBHm9vQBZkVSSvkdM_p30fPlEd6iBd_7W4iLTvNikyDCdKvuvaV9BvHp08vqpgJsfxKTF3muYH2Vcosto3qDpvjRaHYJ\
        Gg2iLD11ETE3uupANDsN5IReIOXGB94GCC2K9xiibFVd9OEWDFjToxp2YjHMeJPEDvkJEsUbAFApedmnwroYRNCZvABMRwfXTJOVoa3QpjQiIe\
        ps8eQKjx0J", "R401"),
    ("C22", "RS256", "without its first byte", "\
        OblCcfyOmIIo5-8B78AsEMEMpwLEt1MaxTBOnfszxRJMUhJJKI-0wjWAJbDIz5gDtobAaiNuDrHRuMFmU7P_RkUJHaapA8Bkkv_VXDkyWxgYsD\
        -BrjYy8l0ZiXLY8hWwEeb29AFmRVJK-R0z-nfR8-UR3qIF3_tbiItO82KTIMJ0q-69pX0G8enTy-qmAmx_EpMXea5gfZVyiy2jeoOm-NFodgka\
        DaIsPXURMTe66kA0Ow3khF4g5cYH3gYILYr3GKJsVV304RYMWNOjGnZiMcx4k8QO-QkSxRsAUCl52afCuhhE0Jm8AExHB9dMk5WhrdCmNCIh6m\
        zx5AqPHQn9", "R401"),
    ("control", "PS256", "salt of 32 bytes", "\
        mam5FKWd8N2_wDZEBBi0wxWRnq-NKtUO5VQqOwqI_yxnzgBTRLM3r5H95p45OwE9mu9vIPcyu8tLrlNQwGOdpNi-2_Nye9LS4dHShriHK-LOEF\
        V5plcM6kV5kZ03vq5I8Z01SuiVgvVBI3ZIUH7e1vd9BbwqMDH_73S_5rlP76FI4XO4uBL7Usel-9gPmUqkWwYuA_dNdEH9RAwmdr2ZiElsabsg\
        B_5YY-yJSat376giIaKTetHddf12WcREUkxRFdlSQBVrdAOCGuPW9UY13FjNbdru_jfO1QGopcQPimQcEfdInhxA9vTqMepvJh6ItASFwScF9R\
        AJjkthsH0b-Q", "OK"),
    ("C22", "PS256", "salt of 0 bytes", "\
        VJEG9I86rWQUEvgZwvY7x_ZV43qf6vf3zFcVV6a2BM1mBGpBXCI5CM0nvsijNf5C02GViMkcbRgs1QGjZ4v-uHTvuG7ZFAPVZ0qTeiwry0GwH7\
        -3DC05K0f6ST4XxDVqpGEIxXbbaITYvpJOIzUzG6gOuIQx7IqBwwCW9TUJ2WfChZbRLV2N96xxvZFXbOgdgpd71RWT3JEs_IGrT4INUjWeyAip\
        tmV-7UNPfnjkVJ01581AOwLfVAnTKiyt9fbWTnZEERjHYJ04HNOGVWchvOiSk474WSqAIqkHRGmwfcCU672hbKUCvnynZwVceDM1qQipkxNVe1\
        yQPla8jY_NBA", "R401"),
    ("C22", "PS256", "salt of 20 bytes", "\
        l0Quc2onMU7f4d3KtHiONBoNiESWmjK7fedyq_rmqzoXc2gjNngK1iadHq8T3-CH7mqeNWSS8LZF2RWqLuFQqVhrvH9VW8SujtiXqY2umZL3Oi\
        y0sewlV4hLLLo3syMNqGzRvF-US6F2Rs143_EEajtIK1p7F2tVt3tflAxfYYHz9GpmAplJv7K7DU2LCS5Bm1Vwa0itilTC0jZ-N2Yz-5GdA9C-\
        BwAKJ2vVk-diLcbRYGzzcMAZbJ10WyVVD1Wtip3-V4B4nv0j8NHvKbop24AMDDcEAf7xSWK-mUwB3fFY9jRhOBRzBvcknaJhINk2sqGaxLylvG\
        l6CxV0UBz81w", "R401"),
    ("C22", "PS256", "salt of 31 bytes", "\
        FBn_diWflK2brlNEi3K6icgZa_OsyWyNw7ZE7BX81CUd9llGPmDnoXv7SBGegiF-edP1R0NlD0lsndy7xjbccjSLdjuy3kNpg5dDP-03glTkeG\
        cRxiNXMLlUUGAq23lTa5BKKe-0DHz6f4xBI8S-Hw2Y3j8dhVdErttvH_cdEqAGm5lv5Y5H2oBTST0QbF93YrOoaX29i-CHzW7ClPchhy-zgyFC\
        nEIQeoAYYp5Cuanij9Z8z732oAG1UhnJJbuOG4VT2-soiDTlLQhiGmD05sy4UcMpvBCYG5FPLV7NgN8R5aSx2z_7r1QdPdB50pamP2c9iXStEV\
        OCrcBM2gws4A", "R401"),
    ("C22", "PS256", "salt of 33 bytes", "\
        W1yjmzWKIKUUgsNkxr2RdGokXUqCMR430LhwSCZcqORPusBjo21fx4LxrYden4Ho_m6x11IXsQmRvVzU9EqB265_z6dfXUkGGVCo1DcDvb8Vcy\
        XmWk0I_0QdL6Koc45Q7_5yY1LqqXRr266CnOVYhJggcABDZODKL6mr83APgwMxz5900o5YD-RliE_aV-Mh8HiIOlyexG_xfCz5ZbExmLoxvd44\
        W_uTRoZsIwiCEC47POpnNryxmYUZVMmpPzWwpfYDCdNP69ggGH2ImjcxKssU-AkQixAEtTzPsWNoUpX84zxsOONHLvKBDdBUP60cHlLD3QWif2\
        4OU7U2HtI1Vg", "R401"),
    ("C22", "PS256", "salt of 222 bytes", "\
        AAqpKZKddCaiuw4NCl_0Y6O08smO9VYQkFtx-iD0j-Z7f_X7z75OLYvkkgCrU3Oa6KFWEmOujzzquYPF90LCXM1cVnwto4XP39HWxBpTestz-B\
        iQDNS5YaUqLuoUscKqHOhoh5pGXjskVUcW6yN8JL_YYQBIqTi5A-pOlOItUXbthXLfHG7um84LzCq4QuHKnZarxqRm6KXvo7s3trV9GiJ5L1CW\
        -2yVczH0RSNJvSDu9FVtA5OFW72qfv0KTArDWed21Z3fXbjTPZ0xYT_RviCwhZavWZaRI20aYxbvmmRNrDI0R7fM8CDDzqWxghe8E9lrYpgsMz\
        T-mD7D29cySQ", "R401"),
    ("C22", "PS256", "MGF1 with SHA-1", "\
        gi0W3KRrrDmV6NNSk55Q0lQ57vzMS5g29HA1woDIQSzrLX5UYYS3HZqEMC4wyNqtyzWrymb8BYgaZ2rZElZtiJpQrj0b5rR3hwTcSeGz_lxjaG\
        LhhZwxb0nPrK1SboLH-Nko2yYdKwngf_lkfhZ6ikxFFZE1xkBs7ZwYFRF-ZJ3eprDYxurmRzo5svruWSBfFjar44ecrEdmIfP3I8LiOtSRPaSN\
        v43GIabeB1Po7wZa-3tmftMFR3tUK3RmXjt_V31KsgkwslSvaAGSVtDCnuiVFW37KUBI5Wn5rIFMCn7pnbc6oBr-F4b4tRMTnlMi5p05m5qhP7\
        lTRHEcUxW37Q", "R401"),
    ("C22", "PS256", "MGF1 with SHA-512", "\
        NT6ZCsUNQmxESj4xs4AmuWo9QGJkDMBaDLoYba_HJc8vpcsrHio8Vp-iIevrByzTLMy44XHxd-1jUmcbB7RjctLN7nsGw3igUgfMzUAShA1nrs\
        p9sGvACcJot7Zcor3qdLBwZXlbGGQ0NR180fTshf-K3AXQRV-HpEedDDf9fmKoOSMiov_bj72lFin4lpNYj8Tyv1exeENUXd68uhzcnqL2k2Ru\
        6vVzsfmaU2slTjVIW5tzQLgNZjDHxoyC73MgBou2F2kqbeH9i-zi2gcFYrjysi1B_sCtyX8h3zdrfSTH_6jkuA9Y4yc0--I6CUX9Im_ovM_8A5\
        Rqaz6EhufNTQ", "R401"),
    ("C22", "PS256", "SHA-384", "\
        sxHFD_FtlkVqfE5DDOOLV9YGf2_uydPd9AX1B1APSF8vCTw-FldEBsTSUV0nMvu-FbGnUvb5kS5FdXEujXKK4pHK_DCKnQLsWVqo5Yir1t9gGY\
        3xGR5Z_AQp16IpbzR2i2MvhmeTt6QVFY5EYILjC7FR6iZksZM57FlBuFCIEsfnSw43ov_nUaOGvToDZFDSwv_25rGjbD6Cs54kZIrN0gDNHV8r\
        Stu76thaYW6Yxu3U1T36LO0aqLnbE0Efia6m-8KuXG9Mv0hXoWGxPKJNVMlc1wNRI5tBFLDIKE2H8KmHo2UH-QjWE5xzoIbpIay_5b9CqFzTOC\
        vPFIohJFOxng", "R401"),
    ("C22", "PS256", "another trailer", "\
        jeJS2kJ2HM4mug3S2301CoFInH6Iq-JqlOZYM86zB5nd4YdCCZfNI3q43VpnuMFDP-rBCwn4BJ_5v_v5-DQfD9zdUouuLwVP62YVCeSD5WyYZi\
        iZrr4aFjoYsGyLDMcdMD0w7xJfkCPIok7YS-k9ys8_jLQojcLuBlHo25gsf90Y7wRJg8iXXkJu8iEha6GpnceknhtFC53Vef-WjYn36M4GZ0th\
        cfE3pOGHp-nEq4fi1jujMAWOGOqcwjzQFOg3-VlZE8lvnAY8OZl8I0QXqojsBhn8nQubnJQx5CRMCufpTKWSnt2BAuS7FJJS3CReYh44UKFlFN\
        C2mY280Y-c-w", "R401"),
    ("C22", "PS256", "another text", "\
        ewDnjl2ikhHHL0PnJpU2CIpkz27oOvS1DAxhYs4dhGqSYYtGdBJ82uSLCYIgzS6uvCJul_WX_U2JeqTLi3MoHCF4daKl9nGOIgf2HaWIy5lNxm\
        z8UrxJ2OdVdfHwH-3ksgJE3MT5kAFbm--VkcS4fhw28s5SHX72Q22dHoKbwF8hZbM6FpFRcSoazOr9_cmSrHISkfFpvjdW8iQiO8vwKnTKW0kl\
        4NrpU4jtllin0D2oe7AVYIWrv_yAY-x_REq9b7I5-Z-0pJXfvNzszadJmPb3e7RNJ6rZCG18GQCU7FdYBt6nfCsHp8YbDS74QOAW_atPvK8z2c\
        N1hnVBN9wYeQ", "R401"),
];
