"""Words without an opinion, by theme: films, products, people, places, time, plot and plain English."""

from .inflection import words

FILMS = words("""
film movie picture flick drama comedy thriller documentary musical western sequel remake adaptation feature
debut biopic cartoon farce satire tale story saga fable parody mystery fantasy romance production project
effort release blockbuster prequel series show episode cop_movie horror_film horror_movie bedtime_story
family_film action_film action_movie war_movie screwball_comedy period_piece costume_drama road_movie
art_film science_fiction_film crime_drama coming_of_age_story ghost_story concert_film character_study
animated_film slasher_film genre_film teen_movie indie_film b_movie heist_movie fairy_tale summer_movie
date_movie monster_movie vampire_movie gangster_film martial_arts_film video vehicle exercise experience
entertainment piece work piece_of_work look portrait study meditation examination exploration account
snapshot glimpse take chronicle tragedy chiller whodunit spoof mockumentary noir memoir anthology
""")

FILM_PLURALS = words("""
films movies pictures dramas comedies thrillers documentaries musicals westerns sequels remakes adaptations
features flicks stories tales blockbusters horror_films horror_movies action_movies war_stories
screwball_comedies cartoons shows movies_of_this_kind films_like_this books games novels
""")

PRODUCTS = words("""
phone camera laptop keyboard blender speaker book game novel album tablet printer vacuum kettle jacket
backpack watch chair lamp bicycle mattress coffee_maker television monitor headset toy board_game knife pan
tent restaurant hotel meal dish wine mug desk charger mouse router app website service course
""")

ASPECTS = words("""
acting story plot script dialogue direction cinematography music score soundtrack editing ending beginning
opening premise concept camerawork camera_work pacing cast ensemble performance lead_performance narrative
screenplay writing tone atmosphere setting scenery production production_design animation action climax
finale twist subplot message theme character_development photography choreography narration voice_over
structure storytelling material execution subject subject_matter idea first_half second_half last_act
third_act opening_scene final_scene last_reel final_act central_performance supporting_cast storyline dialog
lead_actor lead_actress rhythm mood imagery sound world romance mystery central_conceit relationship
plotting filmmaking dramatic_arc look mise_en_scene craft visual_design art_direction title_character hero
heroine villain approach
""")

ASPECT_PLURALS = words("""
performances characters actors scenes jokes lines visuals effects songs sets costumes action_sequences
twists subplots gags stunts images leads villains fight_scenes supporting_players themes ideas moments
sequences visual_effects relationships elements details computer_graphics stars actresses songs_and_dances
heroes situations episodes vignettes one_liners musical_numbers chase_scenes battle_scenes production_values
interviews
""")

PRODUCT_ASPECTS = words("""
battery screen zoom speaker_volume packaging manual customer_service delivery price fabric design build
handle software interface display fit texture taste flavor smell size weight color finish lid cable button
zipper warranty support cover prose plot first_chapter last_chapter gameplay menu staff room bed breakfast
""")

PEOPLE = words("""
director writer screenwriter actor actress star lead cast crew producer composer editor cinematographer
filmmaker author narrator comedian singer dancer newcomer veteran performer hero heroine leading_man
leading_lady supporting_cast young_cast ensemble director_and_his_cast young_actor child_actor storyteller
artist
""")

CHARACTERS = words("""
man woman boy girl child kid teenager mother father son daughter brother sister husband wife widow couple
family friend stranger neighbor teacher student doctor nurse lawyer detective cop policeman soldier spy
thief killer gangster criminal prisoner priest nun writer poet painter musician singer dancer actor waitress
cook farmer fisherman sailor pilot driver cowboy king queen prince princess witch wizard ghost vampire
monster alien robot dog cat horse scientist professor journalist reporter photographer politician president
businessman banker salesman boss worker maid butler nanny orphan immigrant refugee drifter loner dreamer
hustler addict drug_dealer assassin secret_agent bachelor bride groom grandmother grandfather uncle aunt
cousin baby twin roommate lover ex_wife ex_husband hacker clown magician athlete boxer coach football_player
surfer rapper pop_star model prostitute stripper housewife chef barber architect engineer general captain
officer sheriff judge outlaw bandit samurai warrior knight pirate explorer scholar activist terrorist guard
firefighter patient therapist psychiatrist victim survivor witness suspect partner rival enemy ally guy
fellow lady gentleman
""")

CHARACTER_PLURALS = words("""
men women boys girls children kids teenagers parents mothers fathers sons daughters brothers sisters friends
strangers lovers couples families soldiers cops criminals gangsters killers thieves students teachers
outsiders immigrants artists musicians people adults neighbors enemies aliens robots ghosts vampires
monsters animals guys buddies americans folks human_beings others young_people old_people old_friends
young_lovers misfits dogs workers
""")

PERSON_ADJECTIVES = words("""
young old older middle_aged elderly lonely single married divorced famous unknown retired american british
french german italian spanish russian chinese japanese korean indian african mexican irish australian black
white female male gay teenage adult jewish catholic muslim iranian israeli cuban canadian swedish hungarian
small_town big_city blue_collar wealthy troubled ambivalent shy reserved former rookie professional local
foreign southern northern eastern western rural urban suburban tall short blind crippled mysterious unnamed
""")

SETTING_ADJECTIVES = words("""
american british french german italian spanish russian chinese japanese korean indian african mexican irish
hollywood modern contemporary early late recent new old big little small long short whole entire full half
low_budget big_budget independent indie mainstream foreign animated live_action black_and_white digital
silent political historical social sexual religious cultural musical criminal domestic medieval victorian
biblical ancient postwar futuristic supernatural psychological philosophical autobiographical literary
theatrical cinematic visual verbal dark light twisted strange weird bizarre odd surreal violent bloody
familiar simple straightforward conventional traditional typical standard usual certain particular general
commercial popular public private personal emotional physical mental moral natural human real actual true
final first second third last next previous leftover nordic asian european latin midwestern military legal
medical scientific technical basic central main major minor additional adult alternative apparent available
average aware brazilian broad brown busy civil complete constant corporate correct current daily deliberate
different difficult direct double easy electric electronic elusive enormous equal eventual exact existing
experimental explicit extra extreme fictional fifth formal fourth free frequent fundamental future giant
global gray green guilty hard high historic hot huge identical ideological immediate imaginary inner instant
intellectual internal international iraqi joint large latest latter leading limited linear loose low lower
male massive material mere minimal missing mixed mobile multiple mutual mythological narrow national naked
near necessary nervous normal nuclear numerous obsessive occasional official online open opposite outer own
past peculiar permanent plain pop possible potential practical pregnant primary prime primitive privileged
probable professional proper quick rapid raw ready reasonable red related relative reluctant repressed
responsible rough round royal sacred safe secret secondary separate serial serious shakespearean shared
sheer sick similar sixth smaller so_called soft sole soviet specific split square steady straight strict
structural subsequent subtitled substantial sudden sufficient suitable suspicious symbolic temporary thick
tiny top total transitional tropical ultimate underground unfamiliar united upper vague various vast
vertical virtual vocal wide widespread willing yellow genre arthouse pg studio 20th_century late_night
two_hour big_screen small_screen made_up mid third_rate
""")

PLACES = words("""
new_york los_angeles paris london berlin tokyo rome moscow chicago texas california hollywood america
england france germany italy spain russia china japan india africa mexico ireland australia brooklyn
manhattan vietnam the_city the_country the_suburbs a_small_town a_village the_desert the_forest
the_mountains the_ocean the_sea an_island the_woods space outer_space prison a_hospital a_school high_school
college a_hotel a_bar a_restaurant an_office a_factory a_farm a_castle the_jungle the_streets
the_neighborhood the_south the_west the_middle_east a_mansion an_apartment a_house a_train a_ship
a_submarine a_spaceship the_future the_past the_present nowhere the_beach a_church a_museum a_theater
a_nightclub a_courtroom a_trailer_park europe asia iran israel afghanistan cuba hong_kong las_vegas
washington the_white_house the_bronx san_francisco boston the_underworld the_real_world
""")

TIMES = words("""
one_day one_night one_weekend one_summer last_year last_week last_night yesterday today tonight this_year
this_summer this_week this_morning every_night every_day each_morning years_later months_later
ten_years_later in_the_end at_first at_last in_the_1950s during_the_war after_the_war before_the_war
over_the_years for_years in_one_night in_the_morning on_sunday on_friday_night in_winter in_spring
at_christmas on_the_weekend a_few_weeks_ago a_couple_of_months_ago a_decade_ago in_the_seventies
in_the_sixties in_the_eighties in_the_nineties at_the_turn_of_the_century of_the_20th_century since_then
by_then by_now until_now
""")

THEMES = words("""
life death war family friendship memory identity loss grief revenge money politics religion faith history
art childhood adolescence marriage divorce adultery parenthood old_age youth crime justice violence race sex
sexuality gender race_relations loneliness survival greed ambition fame celebrity fate destiny guilt
redemption forgiveness betrayal loyalty addiction alcoholism obsession desire jealousy lust murder truth
freedom oppression slavery the_holocaust colonialism globalization capitalism terrorism technology science
nature the_environment music dance sports football baseball boxing surfing racing fashion cooking food
travel immigration growing_up falling_in_and_out growing_old coming_home show_business the_movie_business
the_american_dream high_society the_human_condition everyday_life domestic_life small_town_life modern_life
mortality motherhood fatherhood masculinity femininity sisterhood brotherhood society culture class_conflict
the_media television advertising journalism the_law medicine education madness mental_illness dreams reality
time space sacrifice responsibility conscience morality spirituality god heaven_and_hell sin
""")

NOUNS = words("""
house home car train bus plane boat ship street road city town country world school church hospital prison
office store bank hotel room kitchen bedroom door window wall table floor garden tree flower river mountain
island beach forest moon sun star sky rain snow storm fire water air night morning summer winter day week
month year minute hour moment decade century birthday wedding funeral party dinner lunch breakfast game race
fight battle trial test letter book diary newspaper magazine photograph painting poem song radio telephone
computer machine weapon gun knife sword bullet body hand head face eye arm leg foot finger hair skin blood
bone brain mind name word secret lie promise plan deal job career business company contract paycheck fortune
money_bag ticket prize map key box bag suitcase coat dress shirt hat shoe ring mirror bottle glass cup plate
cake pizza popcorn candy toy doll ball bicycle dog_show bird fish snake spider rat rabbit bear wolf lion
tiger elephant monkey dinosaur accident murder_case robbery kidnapping escape chase rescue mission journey
trip voyage quest adventure discovery experiment virus disease plague cure medicine drug pill needle
cigarette drink beer wine_glass coffee question answer reason problem_child result effect cause change
choice decision turn step side part piece point line level place side_street corner edge middle top bottom
center end start front back surface shadow sound voice silence image frame shot screen stage theater studio
audience_member crowd group team gang club army government law court police state nation planet universe
dimension portal time_machine culture_clash generation gap tradition ritual ceremony festival holiday
vacation reunion homecoming relationship affair paperback marriage_proposal breakup custody_battle triangle
family_secret feud rivalry formula recipe pattern shape form kind sort type example sign symbol metaphor
subject_line topic issue title chapter page scene_partner sequence_of_events series_of_events
string_of_events bunch couple_of_friends pair handful dozen number amount lot bit hint trace dose degree
matter fact detail case thing way achiever address agenda album alternative analysis angle apartment
appearance appetite apple appointment argument arrival arrow article assignment attempt attention attitude
autumn background balloon band bar base basement basket bath beat behavior belief bell bill blanket block
board border brand bread breath bridge broadcast bubble budget bush cable calendar call campaign candle
capital card carpet cash castle ceiling cell channel chart chess chest chocolate circle circumstance circus
civilization claim classroom cliff clock closet cloud clue coast code coin collection collision column
comment commitment communication community concern concert conclusion condition conference conflict
connection consequence conspiracy contact contest context continent contrast conversation council counter
couch creature credit crisis criticism cross crown crystal current curtain cycle danger darkness date dawn
deadline debate debt demand democracy demon department depiction device devil difference difficulty dilemma
dirt discussion display distance district document dollar dust duty earth economy edition effort egg
election elevator emotion empire encounter engine equation era error_message essence evening event evidence
evil evolution existence expectation explanation expression extent factory fan farm fate fence fiction
figure file filmgoer flag flashback flight flood focus fog fool force foundation fragment framework frontier
fruit fuel function future galaxy garage gas gate gender gesture ghost giant glance goal gold grade grain
ground growth guitar habit half hall hallway harbor headline health heat heaven height hell heritage highway
hill hole horizon horse host humanism hunger ice icon identity ideology illness illusion impact impression
impulse incident income individual industry influence information instance instinct institution instrument
insurance intention interest internet interview introduction invasion invention item journal judgment juice
jungle kingdom kiss knee label ladder lake land landscape lane language lawyer leader leaf league leather
legacy legend lens lesson library license lifestyle lifetime light limit list literature load location lock
loner look lyric magnet mail manner march margin market marketing mask mass mate mall meaning measure meat
medium meeting melody message metal method midnight mile milk mine mixture mode model moral motel motion
motive motorcycle mouth movement movie_star muscle myth mythology neck neighborhood nerve network noon norm
north nose note notion novel novelty object observation obstacle ocean opinion opponent opportunity option
orchestra order origin other outcome outfit output owner package paper parable parade paradise paradox
parent park partner passage past path patient pause payment peace pen pencil percent period person
perspective phase phenomenon philosophy phrase piano pillow pipe pistol pit playground plight pocket
politician pool population portrait pose position possibility poster pot potential poverty practice prayer
predicament presence presentation press pressure price principle print privilege process profession profit
program progress property proportion protagonist psychology publicity purpose pursuit quarter queue
quotation quote range rate ratio reaction reader record recording reference reflection relation relative
relief report reputation rest result_sheet revolution rhyme rhythm rice rifle riot rise risk role roof root
rope round route rule rumor salt sample sand satellite scale scandal scar scenario schedule scheme scream
season seat section security segment self sensibility sentence sentiment session sex_scene shark sheep sheet
shelf shelter shift shock shore shoulder sight silver similarity sitcom situation sketch slice slope smile
smoke soap society soil solution south space speech speed spell spine spoon spot spring spy square stability
stage_play stake stamp standard statement station statue steam stereotype_list stomach stone strategy stream
strength_test stretch string struggle stuff subculture suburb suit sum sunset surface_detail suspicion sweat
switch system tail tank tape target task tax tea tear temperature temple term territory terror text theory
thread threat throat thumb timing tip tone_poem tongue tool tooth tour tourist towel tower track trade
traffic trail trailer transition trap trauma treatment trend tribe trigger truck trunk truth tube tune
tunnel tyranny union unit university upbringing user variety vegetable verse version veteran_actor vessel
view viewpoint visit visitor volume vote wage walk wardrobe warning wave way_out wealth web weekend weight
wheel whale whisper wilderness will wind wing wish wood wool worldview worry wound yard youth zone
box_office running_time screen_time bottom_line point_of_view plot_point plot_twist cliffhanger moviegoer
mtv tv dvd cgi fbi cia
""")

VERBS = words("""
chase follow meet find discover help hide watch visit marry kidnap murder kill rob save rescue protect
confront teach train hire fire leave join betray trust fight face raise reject question investigate remember
forget seek hunt track interview film photograph paint record describe portray depict explore examine
observe study consider explain introduce present follow_around want need know understand call ask tell show
bring take give make see hear feel hold carry keep lose steal sell buy use play turn stay_with talk_to
live_with apply_to travel_with run_from fall_for deal_with care_for look_for wait_for return_to arrive_with
argue_with believe blame support change control create destroy attack shoot build open close start stop
finish read write cook_for serve answer accept refuse avoid admit imagine pretend_to_know expect suspect
accuse defend pursue add address adopt allow announce apply approach arrange assemble assume attempt blend
block blow breathe bury capture cast catch choose claim clean climb collect combine compare complete compose
concern conduct connect contain contemplate continue convey cook cover cross demand demonstrate deny derive
develop direct discuss display document doubt draw drop earn eat echo edit employ encounter encourage end
enter establish evoke exceed experience exploit express extend fill fit fix forgive form frame gain gather
generate get grow guess guide handle hang head honor identify ignore illustrate imitate imply include
increase indicate inhabit inherit insist intend judge justify kiss launch lay lead learn lend let lift list
locate lock maintain manage mark match mean measure mention merge mimic miss mix mount name navigate neglect
note notice offer operate organize owe pack pay perceive perform pick place plant possess post pour prefer
prepare preserve press prevent process produce promote propose prove provide publish pull push put quit
quote reach realize recall receive recognize recreate reduce reflect regard relate release remain remind
remove render repeat replace represent require resemble resist resolve respond restore retain retell revisit
rewrite ride ring risk roll rule satirize scan season sense separate set settle shape share shed shift shut
slide smoke solve sort spend spin split spread stage state stick structure suggest suit summon supply
surround survive sustain swallow switch target taste tear tempt test thank threaten throw tie tolerate toss
trace translate trap trim try twist unite update urge view walk_through warn wash wear weave wipe wrap
come_from come_to think_about talk_about go_to look_at listen_to speak_to deal_in worry_about dream_of
take_on set_up bring_up pick_up give_up lead_to belong_to depend_on focus_on
""")

DONE = words("""
acted written directed shot filmed edited paced cast staged performed photographed made crafted scored
constructed told played animated plotted choreographed designed executed conceived realized assembled
narrated
""")

DEGREES = words("""
very really quite so rather pretty truly extremely simply thoroughly totally completely absolutely utterly
consistently especially particularly altogether wholly entirely constantly always often unusually oddly
strangely undeniably unquestionably unabashedly
""")

HEDGES = words("""
perhaps maybe apparently frankly i_must_say overall in_fact in_general in_short to_be_fair as_a_whole
for_the_most_part at_times in_places on_the_whole in_the_end to_my_mind as_it_turns_out
all_things_considered in_its_own_way at_its_core at_its_center at_any_rate of_course indeed certainly surely
clearly basically essentially ultimately eventually finally once_again as_usual as_always on_balance
by_and_large after_all more_or_less
""")

NAMES = words("""
john mary david anna peter sarah michael james robert lee smith jones kim chan allen williams brown george
jack tom harry paul ben sam joe max charlie henry jane kate emma alice julia maria rose lucy helen martin
scott murphy washington spielberg shakespeare disney hitchcock eddie adam nick kevin steven jason jackson
roberts robin sandler schwarzenegger mr mrs dr eric ryan brian alex daniel thomas william richard lisa susan
jennifer tony bob bill mike jim dan don ray phil jackie chris terry jerry larry gary greg jeff matt luke
simon philip andrew anthony arthur albert alfred walter wayne bruce carl craig dennis donald douglas edward
fred gerald harold howard hugh ian jay jesse jimmy johnny jon jonathan josh juan keith ken kurt lawrence leo
leonard lewis lou louis marcus mario mel miguel neil nicholas nicole norman oliver oscar owen pedro ralph
rex roger ron ross roy russell sean sidney spike stan stanley stephen steve stuart ted tim todd tommy victor
vincent wes woody amy angela anne audrey barbara betty carol catherine charlotte claire clara diane dorothy
elaine elizabeth ellen emily eva gloria isabel jessica jill joan jodie judy karen laura linda louise madonna
margaret marie martha meg melanie michelle monica nancy naomi natalie olivia pamela paula rachel rebecca
rita ruth sally sandra sharon sofia sophie stella teresa tina uma vanessa victoria anderson baker bond burns
campbell carter clark cohen collins cooper crystal davis evans fisher ford fox garcia gibson harris hoffman
hopkins hughes hunter jenkins johnson jordan kaufman kelly kennedy lopez lucas lynch mann martinez mason
miller mitchell moore morgan morris murray nelson newman nolan parker perry phillips reed reynolds rodriguez
rogers sanders schmidt scorsese silva simpson stevens stewart taylor thompson turner walker wallace ward
warner watson welles willis wilson zhang wong wang li chen bollywood freeman pacino hanks cruise pitt
clooney depp kubrick tarantino godard fellini bergman kurosawa
""")

NUMBERS = words("""
two three four five six seven eight nine ten twelve twenty thirty fifty ninety hundred thousand million
several many few countless
""")

AUDIENCES = words("""
you me us the_audience audiences the_viewer viewers everyone anyone critics fans children adults the_crowd
my_friends my_family moviegoers most_people the_whole_family the_senses the_mind the_eye teenagers
""")

PLOT_VERBS_PLAIN = words("""
happens begins ends unfolds arrives appears disappears returns dies lives travels runs_away grows_up
speaks_for_itself comes_home wakes_up goes_wrong gets_lost falls_in_with_a_gang sits waits walks talks
sleeps eats drinks drives dances smokes cries thinks dreams stands explodes
""")
